import type { Strategy } from './strategy.ts';

/** More choices than any run of a few threads has; the arrays grow where one does. */
const EXPECTED_CHOICES = 1024;

/**
 * Every schedule within a bound. With `preemptions`, at most so many places where somebody who could go on is not let;
 * where nobody goes on by itself, and for choices that are no schedule, every way is tried. With `delays`, at most so many
 * choices of any kind that are not the calm one.
 */
export class Exhaustive implements Strategy {
  readonly name: string;
  exhausted = false;
  /** By position: how many ways there are, and which is taken. */
  #ways = new Int32Array(EXPECTED_CHOICES);
  #taken = new Int32Array(EXPECTED_CHOICES);
  /** What the choices before it cost. */
  #before = new Int32Array(EXPECTED_CHOICES);
  /** Positions that are fixed in this run, and that the run has come to. */
  #fixed = 0;
  #length = 0;
  #used = 0;
  #first = true;

  readonly #most: number;
  readonly #delays: boolean;

  constructor(most: number, counted: 'preemptions' | 'delays' = 'preemptions') {
    this.#most = most;
    this.#delays = counted === 'delays';
    this.name = this.#delays ? 'delay-bounded' : 'exhaustive';
  }

  get bound(): string {
    const counted = this.#delays ? 'deviation' : 'preemption';
    return `within ${this.#most} ${counted}${this.#most === 1 ? '' : 's'}`;
  }

  begin(): boolean {
    if (!this.#first && !this.#backtrack()) return false;
    this.#first = false;
    this.#length = 0;
    this.#used = 0;
    return true;
  }

  resume(known: number): number {
    const last = this.#fixed - 1;
    if (last < 0 || known <= last) return 0;
    this.#length = last;
    this.#used = this.#before[last] ?? 0;
    return last;
  }

  stays(at: number): boolean {
    if (at < this.#fixed) return this.#taken[at] === 0;
    return this.#used >= this.#most;
  }

  schedule(at: number, _enabled: readonly unknown[], count: number, preempts: boolean): number {
    return this.#choose(at, count, preempts || this.#delays);
  }

  pick(at: number, n: number): number {
    return this.#choose(at, n, this.#delays);
  }

  #choose(at: number, n: number, costs: boolean): number {
    if (at >= this.#fixed) {
      if (at >= this.#ways.length) this.#grow();
      // Positions in between had one way only.
      for (let between = this.#length; between < at; between++) {
        this.#ways[between] = 1;
        this.#taken[between] = 0;
      }
      this.#ways[at] = costs && this.#used >= this.#most ? 1 : n;
      this.#taken[at] = 0;
      this.#before[at] = this.#used;
      this.#length = at + 1;
      return 0;
    }
    if (this.#length <= at) this.#length = at + 1;
    const way = this.#taken[at] ?? 0;
    if (costs && way > 0) this.#used++;
    return way;
  }

  /** The last choice that has a way left takes it; all before it stay as they are. */
  #backtrack(): boolean {
    for (let at = this.#length - 1; at >= 0; at--) {
      const way = (this.#taken[at] ?? 0) + 1;
      if (way >= (this.#ways[at] ?? 1)) continue;
      this.#taken[at] = way;
      this.#fixed = at + 1;
      return true;
    }
    this.exhausted = true;
    return false;
  }

  #grow(): void {
    this.#ways = grown(this.#ways);
    this.#taken = grown(this.#taken);
    this.#before = grown(this.#before);
  }
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(2 * array.length);
  longer.set(array);
  return longer;
}
