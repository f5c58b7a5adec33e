import type { Clock } from '@usrdrv/core';
import type { VirtualClock } from '../machine/clock.ts';
import type { Idle } from '../machine/idle.ts';

const NANOSECONDS_IN_MS = 1_000_000;

/** Virtual time as programs see it (clock_gettime(2), nanosleep(2)). */
export class ProcessClock implements Clock {
  readonly #clock: VirtualClock;
  readonly #idle: Idle;

  constructor(clock: VirtualClock, idle: Idle) {
    this.#clock = clock;
    this.#idle = idle;
  }

  now(): bigint {
    return BigInt(Math.round(this.#clock.now));
  }

  async sleep(ms: number, o: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`a time is 0 ms or more, not ${String(ms)}`);
    const { signal } = o;
    signal?.throwIfAborted();
    this.#idle.enter();
    let onAbort: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = this.#clock.after(ms * NANOSECONDS_IN_MS, resolve);
        onAbort = () => {
          timer.cancel();
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', onAbort);
      });
    } finally {
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      this.#idle.leave();
    }
  }
}
