import type { KernelProfile } from '@usrdrv/core';
import { Exhaustive } from './exhaustive.ts';
import type { Exploration, ExploredFailure } from './explore.ts';
import type { Violation } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';
import { ChoiceLimitError, RecordingOracle } from './recording-oracle.ts';
import {
  BrokenInvariantError,
  NoEndError,
  type Run,
  type RunOptions,
  runScenario,
  type Scenario,
  ScenarioFailure,
} from './scenario.ts';
import { coverage, type Strategy } from './strategy.ts';
import { TapeOracle } from './tape-oracle.ts';
import { formatToken, type Tape } from './token.ts';

export interface ExploreScenarioOptions extends Omit<RunOptions, 'oracle' | 'trace' | 'onPowerOn'> {
  /** Left out: every run with one choice that is not calm. */
  readonly strategy?: Strategy;
  /** What may be not calm. Left out: everything. */
  readonly tags?: readonly ChoiceTag[];
  /** Runs at most. Left out: 100,000. */
  readonly runs?: number;
  /** Different failures after which it is enough. Left out: 16. */
  readonly failures?: number;
  /** Whether failures are reduced to the fewest choices that are not calm. Left out: yes. */
  readonly shrink?: boolean;
}

const MOST_RUNS = 100_000;
const MOST_FAILURES = 16;
/** One run in so many is made twice, and has to be the same. */
const CHECK_PERIOD = 101;
/** Runs that shrinking may take. */
const SHRINK_RUNS = 1000;

/**
 * Runs a program of whole drivers in every way that a strategy has: which fault, which of the events that are due comes
 * first, whether one comes at this access, whether a result is late, and when happens what can happen at any moment. It
 * keeps the shortest run of each way in which it goes wrong.
 *
 * @example
 * ```ts
 * import { EduDevice, exploreScenario } from '@usrdrv/emu';
 * const { failures, covered } = await exploreScenario({
 *   name: 'identifies',
 *   async run(powerOn) {
 *     const backend = powerOn({ devices: [new EduDevice()] });
 *     const device = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
 *     if (device.bar(0).read32(0) !== 0x0100_00ed) throw new Error('that is no edu device');
 *   },
 * });
 * console.log(covered); // exhaustive within 1 deviation: 22 schedules
 * for (const { violation, token } of failures) console.log(violation.what, token);
 * ```
 * @throws RangeError a name that no token can hold, a kernel that the scenario is not for
 * @throws Error the scenario is not deterministic: it takes time or chance from somewhere else
 */
export async function exploreScenario(scenario: Scenario, o: ExploreScenarioOptions = {}): Promise<Exploration> {
  const { kernel = 'usrdrv-6.1', runs: most = MOST_RUNS, failures: mostFailures = MOST_FAILURES } = o;
  const strategy: Strategy = o.strategy ?? new Exhaustive(1, 'delays');
  const search = new Search(scenario, o);
  const found = new Map<string, { violation: Violation; tape: Tape; foundAt: number; times: number }>();
  let runs = 0;
  let steps = 0;
  while (runs < most && found.size < mostFailures && strategy.begin()) {
    const seen = await search.run(new StrategyOracle(strategy, o.tags));
    const { violation, oracle } = seen;
    strategy.end?.(violation);
    steps += oracle.asked;
    // Also the first one, which costs little and shows most.
    if (runs++ % CHECK_PERIOD === 0) await search.checkDeterminism(seen);
    if (violation === undefined) continue;
    const known = found.get(signature(violation));
    if (known === undefined) found.set(signature(violation), { violation, tape: oracle.tape, foundAt: runs, times: 1 });
    else {
      known.times++;
      if (oracle.taken.length < known.tape.size) Object.assign(known, { tape: oracle.tape, violation });
    }
  }
  const failures: ExploredFailure[] = [];
  for (const { violation, tape, foundAt, times } of found.values()) {
    const short = o.shrink === false ? { tape, violation } : await search.shrink(tape, violation);
    failures.push({
      ...short,
      token: formatToken({ kernel, scenario: scenario.name, tape: short.tape }),
      foundAt,
      times,
    });
  }
  const { exhausted, name } = strategy;
  const of = o.tags === undefined ? '' : ` of ${o.tags.join(', ')}`;
  return {
    scenario: scenario.name,
    kernel,
    strategy: name,
    runs,
    steps,
    exhaustive: exhausted,
    covered: coverage(strategy, runs, found.size >= mostFailures, of),
    failures,
    outcomes: new Map(),
  };
}

/** Chooses as a strategy does. */
class StrategyOracle extends RecordingOracle {
  constructor(
    private readonly strategy: Strategy,
    private readonly open: readonly ChoiceTag[] | undefined,
  ) {
    super();
  }

  protected decide(tag: ChoiceTag, _step: string | undefined, n: number): number {
    if (this.open !== undefined && !this.open.includes(tag)) return 0;
    return this.strategy.pick(this.asked, n, tag);
  }
}

/** A run that is over, whichever way. */
interface Seen {
  readonly violation: Violation | undefined;
  readonly oracle: RecordingOracle;
  /** When it was over, on the machines' clocks. */
  readonly ended: readonly number[];
}

/** Runs of one scenario. */
class Search {
  readonly #kernel: KernelProfile;
  readonly #options: RunOptions;

  constructor(
    private readonly scenario: Scenario,
    private readonly o: ExploreScenarioOptions,
  ) {
    this.#kernel = o.kernel ?? 'usrdrv-6.1';
    const { limitMs, limitChoices, invariants } = o;
    this.#options = {
      kernel: this.#kernel,
      ...(limitMs !== undefined && { limitMs }),
      ...(limitChoices !== undefined && { limitChoices }),
      ...(invariants !== undefined && { invariants }),
    };
  }

  async run(oracle: RecordingOracle): Promise<Seen> {
    try {
      return seen(await runScenario(this.scenario, { ...this.#options, oracle }), undefined);
    } catch (error) {
      if (!(error instanceof ScenarioFailure)) throw error;
      return seen(error.run, violationOf(error));
    }
  }

  /** The same tape has to give the same run: else something chooses that is no choice. */
  async checkDeterminism({ violation, oracle, ended }: Seen): Promise<void> {
    const again = await this.run(new TapeOracle(oracle.tape));
    const where = firstDifference(oracle, again.oracle);
    const other = JSON.stringify([again.violation, again.ended]) !== JSON.stringify([violation, ended]);
    if (where === undefined && !other) return;
    const token = oracle.token(this.#kernel);
    const how =
      where ??
      `the choices were the same; it ended at ${inMs(ended)} with ${violation?.what ?? 'nothing wrong'}, ` +
        `then at ${inMs(again.ended)} with ${again.violation?.what ?? 'nothing wrong'}`;
    throw new Error(`${this.scenario.name} is not deterministic: ${token} was run again, and differed: ${how}`);
  }

  /** The run with the fewest choices that are not calm and the same failure. */
  async shrink(tape: Tape, violation: Violation): Promise<{ readonly tape: Tape; readonly violation: Violation }> {
    const wanted = signature(violation);
    let left = SHRINK_RUNS;
    for (let fewer = 0; fewer < tape.size && left > 0; fewer++) {
      const strategy = new Exhaustive(fewer, 'delays');
      while (left-- > 0 && strategy.begin()) {
        const run = await this.run(new StrategyOracle(strategy, this.o.tags));
        if (run.violation !== undefined && signature(run.violation) === wanted) {
          return { tape: run.oracle.tape, violation: run.violation };
        }
      }
    }
    return this.#leaveOut(tape, violation);
  }

  /** Leaves out one deviation after the other, as long as the failure stays. */
  async #leaveOut(tape: Tape, violation: Violation): Promise<{ readonly tape: Tape; readonly violation: Violation }> {
    let shortest = { tape, violation };
    for (const at of [...tape.keys()].reverse()) {
      const without = new Map([...shortest.tape].filter(([position]) => position !== at));
      const run = await this.run(new TapeOracle(without));
      if (run.violation === undefined || signature(run.violation) !== signature(violation)) continue;
      shortest = { tape: run.oracle.tape, violation: run.violation };
    }
    return shortest;
  }
}

function seen({ oracle, machines }: Run, violation: Violation | undefined): Seen {
  return { violation, oracle, ended: machines.map(({ clock }) => clock.now) };
}

/** What a failure says, as explorations have it. The step is the last choice that was not calm. */
export function violationOf({ cause, run: { oracle } }: ScenarioFailure): Violation {
  const last = oracle.taken.at(-1);
  const step = last === undefined ? 'calm' : last.tag;
  const actor = 'scenario';
  if (cause instanceof BrokenInvariantError) return { invariant: cause.invariant, what: cause.what, step, actor };
  const what = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof NoEndError || cause instanceof ChoiceLimitError)
    return { invariant: 'every run ends', what, step, actor };
  return { invariant: 'the scenario passes', what, step, actor };
}

/** Failures are the same where the same invariant breaks in the same words, whatever the numbers. */
function signature({ invariant, what }: Violation): string {
  return `${invariant}: ${what.replaceAll(/0x[0-9a-f]+|\d+/g, '#')}`;
}

/** The first choice that two runs do not share, in words. */
function firstDifference(first: RecordingOracle, second: RecordingOracle): string | undefined {
  const length = Math.max(first.asked, second.asked);
  for (let at = 0; at < length; at++) {
    const [once, again] = [asked(first, at), asked(second, at)];
    if (once !== again) return `choice ${at} was ${once}, then ${again}`;
  }
  return undefined;
}

function asked({ tags, ways, steps }: RecordingOracle, at: number): string {
  const tag = tags[at];
  if (tag === undefined) return 'not asked';
  return `${tag}, of ${ways[at]} ways${steps[at] === undefined ? '' : `, at step ${steps[at]}`}`;
}

function inMs(times: readonly number[]): string {
  return times.map((ns) => `${ns / 1e6} ms`).join(', ');
}
