import type { VirtualClock } from './clock.ts';

/**
 * What moves virtual time while everyone waits. Whoever sleeps counts itself in; as soon as the host has run every
 * microtask and somebody still sleeps, nobody can go on before the next timer, so the clock jumps to it.
 */
export class Idle {
  #waiters = 0;
  #armed = false;

  constructor(
    private readonly clock: VirtualClock,
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

  #arm(): void {
    if (this.#armed || this.#waiters === 0 || !this.clock.pending) return;
    this.#armed = true;
    macrotask(this.#jump);
  }

  readonly #jump = (): void => {
    this.#armed = false;
    if (this.#waiters === 0) return;
    try {
      if (this.clock.runNext()) this.settle();
    } finally {
      this.#arm();
    }
  };
}

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
