import type { Actor } from './actor.ts';
import type { Strategy } from './strategy.ts';

/** Numbers that look random, the same for the same seed (xorshift32). */
export class Seeded {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds are to have nothing in common; and 0 would stay 0.
    this.#state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) | 1;
    for (let warm = 0; warm < 4; warm++) this.below(2);
  }

  /** An integer, 0 <= result < n. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % n;
  }
}

/** Everyone who can go on is as likely to; whoever took the last step more so. */
export class RandomWalk implements Strategy {
  readonly name = 'random';
  readonly bound: string;
  readonly exhausted = false;
  readonly #random: Seeded;
  /** Out of so many steps, one is taken by somebody else. */
  #period = 4;
  /** The position that it was asked about last, and what it said. */
  #asked = -1;
  #stays = false;

  constructor(seed: number) {
    this.#random = new Seeded(seed);
    this.bound = `random, seed ${seed}`;
  }

  begin(): boolean {
    this.#period = 2 + this.#random.below(12);
    this.#asked = -1;
    return true;
  }

  stays(at: number): boolean {
    if (at !== this.#asked) this.#stays = this.#random.below(this.#period) !== 0;
    this.#asked = at;
    return this.#stays;
  }

  schedule(_at: number, _enabled: readonly Actor[], count: number, preempts: boolean): number {
    return preempts ? 1 + this.#random.below(count - 1) : this.#random.below(count);
  }

  pick(_at: number, n: number): number {
    return this.#random.below(4) === 0 ? this.#random.below(n) : 0;
  }
}

/** How long runs are taken to be before the first one is over. */
const FIRST_LENGTH = 40;

/**
 * Probabilistic concurrency testing: everyone has a random priority, the highest goes on, and at `depth` - 1 random places
 * whoever runs falls below all others. A bug that needs d places in a run of n steps with k who take part shows in at
 * least one run of k * n^(d-1).
 */
export class Pct implements Strategy {
  readonly name = 'pct';
  readonly bound: string;
  readonly exhausted = false;
  readonly #random: Seeded;
  readonly #priorities: number[] = [];
  readonly #changes = new Set<number>();
  #lowest = 0;
  #length = FIRST_LENGTH;
  #at = 0;

  constructor(
    seed: number,
    private readonly depth: number,
  ) {
    this.#random = new Seeded(seed);
    this.bound = `PCT of depth ${depth}, seed ${seed}`;
  }

  begin(): boolean {
    this.#length = Math.max(this.#length, this.#at);
    this.#priorities.length = 0;
    this.#lowest = 0;
    this.#changes.clear();
    for (let change = 1; change < this.depth; change++) this.#changes.add(this.#random.below(this.#length));
    return true;
  }

  stays(at: number): boolean {
    this.#at = at;
    return false;
  }

  schedule(at: number, enabled: readonly Actor[], count: number): number {
    let best = this.#best(enabled, count);
    const actor = enabled[best];
    if (actor !== undefined && this.#changes.delete(at)) {
      this.#priorities[actor.id] = --this.#lowest;
      best = this.#best(enabled, count);
    }
    return best;
  }

  pick(_at: number, n: number): number {
    return this.#random.below(n);
  }

  #best(enabled: readonly Actor[], count: number): number {
    let best = 0;
    let highest = Number.NEGATIVE_INFINITY;
    for (let way = 0; way < count; way++) {
      const priority = this.#priority(enabled[way]);
      if (priority <= highest) continue;
      highest = priority;
      best = way;
    }
    return best;
  }

  #priority(actor: Actor | undefined): number {
    if (actor === undefined) return Number.NEGATIVE_INFINITY;
    const known = this.#priorities[actor.id];
    if (known !== undefined) return known;
    const priority = 1 + this.#random.below(1 << 30);
    this.#priorities[actor.id] = priority;
    return priority;
  }
}
