import type { Step } from '../kernel/step.ts';
import type { Actor } from './actor.ts';
import type { Violation } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';
import type { Strategy } from './strategy.ts';

/** Several strategies in turn, a run each: what one of them is bad at, another may find. */
export class Portfolio implements Strategy {
  readonly name = 'portfolio';
  readonly everyStep: boolean;
  readonly bound: string;
  #left: Strategy[];
  #turn = 0;
  #current: Strategy;

  /** @throws RangeError no strategy at all */
  constructor(strategies: readonly Strategy[]) {
    const [first] = strategies;
    if (first === undefined) throw new RangeError('a portfolio has at least one strategy');
    this.#current = first;
    this.#left = [...strategies];
    this.everyStep = strategies.some(({ everyStep }) => everyStep === true);
    this.bound = strategies.map(({ name, bound }) => `${name} ${bound}`).join(', ');
  }

  /** All of them have made all their runs. */
  get exhausted(): boolean {
    return this.#left.length === 0;
  }

  begin(): boolean {
    while (this.#left.length > 0) {
      const next = this.#left[this.#turn++ % this.#left.length];
      if (next === undefined) continue;
      if (next.begin()) {
        this.#current = next;
        return true;
      }
      this.#left = this.#left.filter((each) => each !== next);
    }
    return false;
  }

  stays(at: number): boolean {
    return this.#current.stays(at);
  }

  schedule(at: number, enabled: readonly Actor[], count: number, preempts: boolean): number {
    if (count < 2 && this.#current.everyStep !== true) return 0;
    return this.#current.schedule(at, enabled, count, preempts);
  }

  pick(at: number, n: number, tag: ChoiceTag): number {
    return this.#current.pick(at, n, tag);
  }

  stepped(actor: Actor, step: Step): void {
    this.#current.stepped?.(actor, step);
  }

  end(violation: Violation | undefined): void {
    this.#current.end?.(violation);
  }
}
