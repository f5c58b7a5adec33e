/** Answers choices in every possible way: one run after the other, until none is new. */
export class Exhaust {
  readonly #taken: number[] = [];
  readonly #ways: number[] = [];
  #at = 0;

  /** One of `n`; in the first run always 0. */
  choose(n: number): number {
    const at = this.#at++;
    if (at === this.#taken.length) {
      this.#taken.push(0);
      this.#ways.push(n);
    }
    return this.#taken[at] ?? 0;
  }

  /** Goes back to the start, with the last choice that can be taken differently. False where all has been seen. */
  next(): boolean {
    this.#at = 0;
    for (let last = this.#taken.pop(); last !== undefined; last = this.#taken.pop()) {
      const ways = this.#ways.pop() ?? 0;
      if (last + 1 < ways) {
        this.#taken.push(last + 1);
        this.#ways.push(ways);
        return true;
      }
    }
    return false;
  }
}
