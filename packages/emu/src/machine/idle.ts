import type { Oracle } from '../explore/oracle.ts';
import type { VirtualClock } from './clock.ts';

/**
 * What moves virtual time while everyone waits. Whoever sleeps counts itself in; as soon as the host has run every
 * microtask and somebody still sleeps, nobody can go on before the next timer, so the clock jumps to it.
 */
export class Idle {
  #waiters = 0;
  #armed = false;
  /** What happens after the next event only. */
  readonly #late: (() => void)[] = [];

  constructor(
    private readonly clock: VirtualClock,
    private readonly oracle: Oracle,
    /** Lets interrupts and woken tasks run after a timer did something. */
    private readonly settle: () => void,
  ) {
    clock.onSet = () => this.#arm();
  }

  /** How many wait: in a system call, or for a time. */
  get waiters(): number {
    return this.#waiters;
  }

  /** Somebody starts to wait. */
  enter(): void {
    this.#waiters++;
    this.#arm();
  }

  /** Somebody waits no longer. */
  leave(): void {
    this.#waiters--;
  }

  /** Something that could happen now happens after the next event, if there is one. */
  later(run: () => void): void {
    this.enter();
    this.#late.push(run);
    this.#arm();
  }

  #arm(): void {
    if (this.#armed || this.#waiters === 0 || !(this.clock.pending || this.#late.length > 0)) return;
    this.#armed = true;
    macrotask(this.#jump);
  }

  readonly #jump = (): void => {
    this.#armed = false;
    if (this.#waiters === 0) return;
    const late = this.#late.splice(0);
    try {
      const isNear = this.clock.next <= this.clock.now + NEAR_NS;
      if ((late.length === 0 || isNear) && this.#next()) this.settle();
      for (const run of late) {
        this.leave();
        run();
      }
    } finally {
      this.#arm();
    }
  };

  /** The next event: the earliest, unless the oracle has others come first. */
  #next(): boolean {
    const { clock, oracle } = this;
    if (!oracle.asksAtSteps) return clock.runNext();
    const due = Math.min(clock.due(clock.next + NEAR_NS, false), MOST_EVENTS);
    if (due > 0) clock.runNth(due > 1 ? oracle.choose(due, 'event.next') : 0, false);
    return due > 0;
  }
}

/** Nothing is late by more than 10 s. */
const NEAR_NS = 10e9;
/** So many of the events that are due can come next. */
const MOST_EVENTS = 4;

/** Calls back when the host has run every microtask. No time is measured: this is only a turn of the event loop. */
export const macrotask: (run: () => void) => void = hostMacrotask();

function hostMacrotask(): (run: () => void) => void {
  const host = globalThis as { setImmediate?: (run: () => void) => unknown; MessageChannel?: new () => Channel };
  const { setImmediate, MessageChannel } = host;
  if (setImmediate !== undefined) return (run) => void setImmediate(run);
  if (MessageChannel === undefined) throw new Error('this JavaScript host has neither setImmediate nor MessageChannel');
  const queue: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => queue.shift()?.();
  return (run) => {
    queue.push(run);
    port2.postMessage(undefined);
  };
}

interface Channel {
  readonly port1: { onmessage: (() => void) | null };
  readonly port2: { postMessage(message: undefined): void };
}
