/** A callback that is due at some virtual time. */
export interface Timer {
  /** Forgets it. Again, or after it ran, does nothing. */
  cancel(): void;
}

class HeapTimer implements Timer {
  cancelled = false;
  constructor(
    readonly time: number,
    readonly order: number,
    readonly run: () => void,
    readonly ofDevice: boolean,
  ) {}
  cancel(): void {
    this.cancelled = true;
  }
}

/**
 * Virtual time, in nanoseconds since the machine was switched on. It moves when somebody advances it, and jumps to the
 * next timer when everyone waits; callbacks that are due at the same time run in the order in which they were set.
 */
export class VirtualClock {
  /** Nanoseconds, exact up to 2^53 (104 days). */
  now = 0;
  /** Called when a timer is set: whoever lets time jump has to look again. */
  onSet: (() => void) | undefined = undefined;
  readonly #heap: HeapTimer[] = [];
  #order = 0;

  /**
   * Runs `run` when `ns` nanoseconds have passed.
   * @param ofDevice whether it is something that a device does: that may come while the processor is at work, too
   */
  after(ns: number, run: () => void, ofDevice = false): Timer {
    const timer = new HeapTimer(this.now + ns, this.#order++, run, ofDevice);
    this.#push(timer);
    this.onSet?.();
    return timer;
  }

  /** Lets `ns` nanoseconds pass, and runs what becomes due meanwhile. */
  advance(ns: number): void {
    const until = this.now + ns;
    const heap = this.#heap;
    while (heap[0] !== undefined && heap[0].time <= until) this.#runFirst();
    // A callback may itself have advanced the clock past `until`.
    if (this.now < until) this.now = until;
  }

  /** Jumps to the next timer and runs it. False where there is none. */
  runNext(): boolean {
    while (this.#heap[0] !== undefined) {
      if (this.#runFirst()) return true;
    }
    return false;
  }

  /** When the next timer is due; never where there is none. */
  get next(): number {
    return this.pending ? (this.#heap[0]?.time ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  }

  /** How many timers are due until then, set by devices or by anybody. */
  due(until: number, ofDevice: boolean): number {
    let count = 0;
    for (const timer of this.#heap) {
      if (!timer.cancelled && timer.time <= until && (timer.ofDevice || !ofDevice)) count++;
    }
    return count;
  }

  /** Runs the nth of them, from 0, by the time at which they are due. Time jumps there, and those before it are late. */
  runNth(nth: number, ofDevice: boolean): void {
    const timers = this.#heap.filter((each) => !each.cancelled && (each.ofDevice || !ofDevice));
    const timer = timers.sort((a, b) => (before(a, b) ? -1 : 1))[nth];
    if (timer === undefined) return;
    if (timer.time > this.now && !ofDevice) this.now = timer.time;
    timer.cancelled = true;
    timer.run();
  }

  /** Whether a timer is set. */
  get pending(): boolean {
    while (this.#heap[0]?.cancelled) this.#pop();
    return this.#heap.length > 0;
  }

  #runFirst(): boolean {
    const timer = this.#pop();
    if (timer === undefined || timer.cancelled) return false;
    if (timer.time > this.now) this.now = timer.time;
    timer.cancelled = true;
    timer.run();
    return true;
  }

  #push(timer: HeapTimer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || before(parent, timer)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = timer;
  }

  #pop(): HeapTimer | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      if (left === undefined) break;
      const right = heap[2 * at + 2];
      const child = right !== undefined && before(right, left) ? right : left;
      if (before(last, child)) break;
      heap[at] = child;
      at = child === left ? 2 * at + 1 : 2 * at + 2;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: HeapTimer, b: HeapTimer): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
