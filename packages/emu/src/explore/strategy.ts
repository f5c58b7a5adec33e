import type { Step } from '../kernel/step.ts';
import type { Actor } from './actor.ts';
import type { Violation } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';

/**
 * How runs are chosen: one after the other, and in each of them the way at every choice. Choices have positions, from 0:
 * each step is one, whether or not there was more than one who could take it, and so is whatever else the machine asks.
 * The way 0 is the calm one.
 */
export interface Strategy {
  readonly name: string;
  /** Prepares the next run. False where there is none left. */
  begin(): boolean;
  /**
   * How many positions of this run, from the start, are as in the run before, of which the caller remembers the first
   * `known`: it does not ask about them, nor tell of their steps. Left out: none.
   */
  resume?(known: number): number;
  /** Whether it is asked who goes on even where only one can. */
  readonly everyStep?: boolean;
  /**
   * Whether whoever took the last step surely takes the next one too, whoever else could. Saves finding out who could. It may
   * be asked again about the same position, and says the same.
   */
  stays(at: number): boolean;
  /**
   * Who goes on: an index into `enabled`, of which the first `count` count, at least 2. Where it `preempts`, the first is
   * whoever took the last step. A negative way gives the run up: it is known already.
   */
  schedule(at: number, enabled: readonly Actor[], count: number, preempts: boolean): number;
  /** Any other choice. */
  pick(at: number, n: number, tag: ChoiceTag): number;
  /** A step was taken. */
  stepped?(actor: Actor, step: Step): void;
  /** The run is over. */
  end?(violation: Violation | undefined): void;
  /** Whether `begin` will say that nothing is left: every run within the bound has been made. */
  readonly exhausted: boolean;
  /** The bound, in words: `within 3 preemptions`. */
  readonly bound: string;
}

/**
 * What an exploration saw, and what it did not: `exhaustive within 3 preemptions: 41,322 schedules`, or
 * `bounded by 100,000 runs (…)`.
 * @param of what the bound is of, where that is not everything
 */
export function coverage({ exhausted, bound }: Strategy, runs: number, endedByFailures: boolean, of = ''): string {
  const number = runs.toLocaleString('en');
  if (exhausted) return `exhaustive ${bound}${of}: ${number} schedules`;
  return `bounded by ${number} runs (${bound}${of}${endedByFailures ? ', ended by failures' : ''})`;
}
