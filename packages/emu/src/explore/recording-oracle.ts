import type { KernelProfile } from '@usrdrv/core';
import type { ChoiceTag, Oracle } from './oracle.ts';
import { formatToken, type Tape } from './token.ts';

/** A choice that was not the calm one. */
export interface TakenChoice {
  /** Its position in the run, from 0. */
  readonly at: number;
  /** Which way was taken, > 0. */
  readonly way: number;
  readonly tag: ChoiceTag;
  /** The kernel step at which it was asked, where it was at one. */
  readonly step: string | undefined;
}

/**
 * An oracle that writes down what it was asked and how it chose, so that the run can be had again. Every kind asks at
 * kernel steps too, so positions mean the same whoever chose.
 *
 * One oracle is for one run: a machine that goes on with another's starts in the middle of its plan.
 */
export abstract class RecordingOracle implements Oracle {
  readonly asksAtSteps = true;
  /** What was asked, by position; and out of how many ways. */
  readonly tags: ChoiceTag[] = [];
  readonly ways: number[] = [];
  /** And at which kernel step. */
  readonly steps: (string | undefined)[] = [];
  /** What was not calm, in order. */
  readonly taken: TakenChoice[] = [];
  /** What the run is one of, in its token: a scenario's name. */
  scenario = 'machine';
  /** After so many choices, {@link choose} throws: what runs for ever ends. */
  limit = Number.POSITIVE_INFINITY;

  /** Hears of every choice, before it is made; and of each that was not calm. */
  onAsked: (() => void) | undefined = undefined;
  onTaken: ((taken: TakenChoice) => void) | undefined = undefined;
  /** The choices are over: what follows is calm, and not written down. */
  calm = false;
  #calls = 0;

  /** The way to take: cut to n - 1 where it is more. */
  protected abstract decide(tag: ChoiceTag, step: string | undefined, n: number): number;

  /** @throws ChoiceLimitError */
  choose(n: number, tag: ChoiceTag, step?: string): number {
    if (this.#calls >= this.limit) throw new ChoiceLimitError(this.limit);
    this.#calls++;
    this.onAsked?.();
    if (this.calm) return 0;
    const at = this.tags.length;
    const way = Math.min(this.decide(tag, step, n), n - 1);
    this.tags.push(tag);
    this.ways.push(n);
    this.steps.push(step);
    if (way > 0) {
      const taken = { at, way, tag, step };
      this.taken.push(taken);
      this.onTaken?.(taken);
    }
    return way;
  }

  /** How many choices were asked, also after they were over. */
  get calls(): number {
    return this.#calls;
  }

  /** How many choices were asked. */
  get asked(): number {
    return this.tags.length;
  }

  /** What was not calm, as a tape. */
  get tape(): Tape {
    return new Map(this.taken.map(({ at, way }) => [at, way]));
  }

  /**
   * The run so far as a token: `emu1:usrdrv-6.1:transfer:1-10.2`.
   * @throws RangeError {@link scenario} is a name that no token can hold
   */
  token(kernel: KernelProfile): string {
    return formatToken({ kernel, scenario: this.scenario, tape: this.tape });
  }

  /** What was not calm, in words, one a line: `alloc.fail: the 3rd`. */
  describe(): string[] {
    return this.taken.map((each) => this.describeOne(each));
  }

  /** One of them in words. */
  describeOne({ at, way, tag, step }: TakenChoice): string {
    let nth = 0;
    for (let before = 0; before <= at; before++) if (this.tags[before] === tag) nth++;
    if (tag === 'meanwhile') return `${step}, at the ${ordinal(nth)} moment`;
    const which = way === 1 ? '' : ` = ${way}`;
    return `${tag}${which}: the ${ordinal(nth)} time${step === undefined ? '' : `, at step ${step}`}`;
  }
}

/** The run asked for more choices than it was allowed. */
export class ChoiceLimitError extends Error {
  override readonly name = 'ChoiceLimitError';
  constructor(limit: number) {
    super(`the run did not end within ${limit} choices`);
  }
}

function ordinal(n: number): string {
  const teens = n % 100 >= 11 && n % 100 <= 13;
  const suffix = teens ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${suffix}`;
}
