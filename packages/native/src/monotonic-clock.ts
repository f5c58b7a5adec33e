import type { Clock } from '@usrdrv/core';

/** The longest time that a timer of Node's takes. */
const LONGEST_TIMER_MS = 0x7fff_ffff;
const NANOSECONDS_IN_MS = 1e6;

/** Real time: CLOCK_MONOTONIC. */
export const monotonicClock: Clock = {
  now: () => process.hrtime.bigint(),

  async sleep(ms, o = {}) {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`a time is 0 ms or more, not ${String(ms)}`);
    const { signal } = o;
    signal?.throwIfAborted();
    const end = process.hrtime.bigint() + BigInt(Math.ceil(ms * NANOSECONDS_IN_MS));
    // A timer counts from when the event loop last looked at the time, and so can be early.
    for (let left = ms; left > 0; left = Number(end - process.hrtime.bigint()) / NANOSECONDS_IN_MS) {
      await timer(Math.min(Math.ceil(left), LONGEST_TIMER_MS), signal);
    }
  },
};

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
