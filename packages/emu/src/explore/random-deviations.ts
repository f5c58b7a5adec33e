import { Seeded } from './random-strategies.ts';
import type { Strategy } from './strategy.ts';

/** How many choices a run is taken to have before the first one is over. */
const FIRST_LENGTH = 100;
/** The most ways of any choice that is not who goes on next. */
const MOST_WAYS = 4;

/**
 * Calm runs but for a few choices, at random positions: what a long run takes, most of whose choices are faults. With
 * exactly `depth` of them, a failure that needs d deviations in a run of n choices shows in about one run of n^d.
 */
export class RandomDeviations implements Strategy {
  readonly name: string;
  readonly bound: string;
  readonly exhausted = false;
  readonly #random: Seeded;
  readonly #plan = new Map<number, number>();
  #length = FIRST_LENGTH;

  /**
   * @param most deviations in a run
   * @param exactly whether there are always so many; else from none to that
   */
  constructor(
    seed: number,
    private readonly most: number,
    private readonly exactly = false,
  ) {
    this.#random = new Seeded(seed);
    this.name = exactly ? 'pct' : 'random';
    this.bound = `${exactly ? '' : 'up to '}${most} random deviations, seed ${seed}`;
  }

  begin(): boolean {
    this.#plan.clear();
    const count = this.exactly ? this.most : this.#random.below(this.most + 1);
    for (let nth = 0; nth < count; nth++)
      this.#plan.set(this.#random.below(this.#length), 1 + this.#random.below(MOST_WAYS - 1));
    return true;
  }

  stays(at: number): boolean {
    return !this.#plan.has(at);
  }

  schedule(at: number, _enabled: readonly unknown[], count: number): number {
    return this.pick(at, count);
  }

  pick(at: number, n: number): number {
    // Runs are as long as the longest so far.
    if (at >= this.#length) this.#length = at + 1;
    const way = this.#plan.get(at) ?? 0;
    return way === 0 ? 0 : 1 + ((way - 1) % (n - 1));
  }
}
