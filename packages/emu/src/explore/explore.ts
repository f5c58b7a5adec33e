import type { KernelProfile } from '@usrdrv/core';
import { Exhaustive } from './exhaustive.ts';
import { Interleaving } from './interleaving.ts';
import { INVARIANTS, type Invariant, type Violation } from './invariants.ts';
import { Replay } from './replay-strategy.ts';
import { coverage, type Strategy } from './strategy.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import { checkScenarioName, formatToken, parseToken, type Tape } from './token.ts';
import { World } from './world.ts';

export interface ExploreOptions {
  /** Left out: `usrdrv-6.1`. */
  readonly kernel?: KernelProfile;
  /** Left out: every schedule within 3 preemptions. */
  readonly strategy?: Strategy;
  /** Runs at most. Left out: 1,000,000. */
  readonly runs?: number;
  /** Different failures after which it is enough. Left out: 16. */
  readonly failures?: number;
  /** Whether failures are reduced to the fewest choices that are not calm. Left out: yes. */
  readonly shrink?: boolean;
  /** Invariants that are asked before all others. */
  readonly before?: readonly Invariant[];
  /** Whether what the threads read is collected. */
  readonly outcomes?: boolean;
}

/** A way in which a scenario goes wrong, and the shortest run found that does. */
export interface ExploredFailure {
  readonly violation: Violation;
  /** Has the run again, with {@link replayThreads} or `usrdrv replay`. */
  readonly token: string;
  readonly tape: Tape;
  /** The run, from 1, that showed it first. */
  readonly foundAt: number;
  /** How many runs showed it. */
  readonly times: number;
}

/** What an exploration saw, and what it did not. */
export interface Exploration {
  readonly scenario: string;
  readonly kernel: KernelProfile;
  readonly strategy: string;
  readonly runs: number;
  readonly steps: number;
  /** Whether every run within the bound was made. */
  readonly exhaustive: boolean;
  /** `exhaustive within 3 preemptions: 41,322 schedules`, or `bounded by 100,000 runs (…)`. */
  readonly covered: string;
  readonly failures: readonly ExploredFailure[];
  /** With `outcomes`: what the threads read, and in how many runs. */
  readonly outcomes: ReadonlyMap<string, number>;
}

const MOST_RUNS = 1_000_000;
const MOST_FAILURES = 16;
const PREEMPTIONS = 3;
/** One run in so many is made twice, and has to be the same. */
const CHECK_PERIOD = 1009;

/**
 * Runs a scenario in every way that a strategy has, and keeps the shortest run of each way in which it goes wrong.
 *
 * @example
 * ```ts
 * import { explore, scenarioNamed } from '@usrdrv/emu';
 * const { failures } = explore(scenarioNamed('two-readers'), { kernel: 'chubb-2.6.11' });
 * console.assert(failures.some(({ violation }) => violation.invariant === 'counts are not negative'));
 * ```
 * @throws RangeError a name that no token can hold, a kernel that the scenario is not for
 */
export function explore(scenario: ThreadScenario, o: ExploreOptions = {}): Exploration {
  checkScenarioName(scenario.name);
  const { kernel = 'usrdrv-6.1', runs: most = MOST_RUNS } = o;
  const strategy: Strategy = o.strategy ?? new Exhaustive(PREEMPTIONS);
  const { failures: mostFailures = MOST_FAILURES } = o;
  if (scenario.only !== undefined && scenario.only.kernel !== kernel) {
    throw new RangeError(`${scenario.name} is not for ${kernel}: ${scenario.only.because}`);
  }
  const stage = new Stage(scenario, kernel, strategy, o.before);
  const repetition = new Repetition(scenario, kernel, o.before);
  const found: { violation: Violation; tape: Tape; foundAt: number; times: number }[] = [];
  const outcomes = new Map<string, number>();
  let runs = 0;
  let steps = 0;
  while (runs < most && found.length < mostFailures && strategy.begin()) {
    const run = stage.run();
    runs++;
    steps += run.steps;
    const { violation } = run;
    strategy.end?.(violation);
    if (violation !== undefined) {
      const known = found.find((each) => sameFailure(each.violation, violation));
      if (known === undefined) found.push({ violation, tape: run.tape, foundAt: runs, times: 1 });
      else {
        known.times++;
        if (run.taken.length < known.tape.size) Object.assign(known, { tape: run.tape, violation });
      }
    } else if (o.outcomes === true && !run.givenUp) {
      const outcome = stage.outcome();
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (runs % CHECK_PERIOD === 0 && !run.givenUp) repetition.check(run, stage.outcome());
  }
  const failures = found.map(({ violation, tape, foundAt, times }) => {
    const short = o.shrink === false ? { tape, violation } : shrink(scenario, kernel, tape, violation);
    const token = formatToken({ kernel, scenario: scenario.name, tape: short.tape });
    return { violation: short.violation, token, tape: short.tape, foundAt, times };
  });
  const { exhausted, name } = strategy;
  return {
    scenario: scenario.name,
    kernel,
    strategy: name,
    runs,
    steps,
    exhaustive: exhausted,
    covered: coverage(strategy, runs, found.length >= mostFailures),
    failures,
    outcomes,
  };
}

/** A run that is over. */
export interface ThreadRun {
  readonly violation: Violation | undefined;
  readonly steps: number;
  readonly world: World;
}

/**
 * Has a run of a scenario again, from its token alone.
 * @param watch sees every step, after it was taken
 * @throws TypeError what is no token
 * @throws RangeError a token of another scenario, or of a run that does not happen any more
 */
export function replayThreads(
  token: string,
  scenario: ThreadScenario,
  watch?: (world: World) => Interleaving['onStep'],
): ThreadRun {
  const { kernel, scenario: name, tape } = parseToken(token);
  if (name !== scenario.name) throw new RangeError(`${token} is a run of ${name}, not of ${scenario.name}`);
  const strategy = new Replay(tape);
  const stage = new Stage(scenario, kernel, strategy);
  strategy.begin();
  const run = stage.run(watch);
  if (strategy.used < tape.size) {
    throw new RangeError(`${token} does not happen any more: only ${strategy.used} of its choices were asked`);
  }
  return { violation: run.violation, steps: run.steps, world: stage.world };
}

/**
 * Runs a scenario once, with the ways that a tape says, as far as there are such choices: for property tests, in which a
 * schedule is whatever tape an arbitrary makes up, and shrinks.
 */
export function runTape(scenario: ThreadScenario, kernel: KernelProfile, tape: Tape): ThreadRun {
  const strategy = new Replay(tape);
  const stage = new Stage(scenario, kernel, strategy);
  strategy.begin();
  const { violation, steps } = stage.run();
  return { violation, steps, world: stage.world };
}

/** Failures are the same where the same invariant breaks at the same step. */
function sameFailure(a: Violation, b: Violation): boolean {
  return a.invariant === b.invariant && a.step === b.step;
}

/** What the threads read, in order: `A=1 B=-EAGAIN,1`. */
function outcomeOf(world: World): string {
  return world.threads.map(({ name, results }) => `${name}=${results.join(',')}`).join(' ');
}

/** A world, used for run after run. */
class Stage {
  world: World;
  #interleaving: Interleaving;
  readonly #invariants: readonly Invariant[];
  #used = false;

  constructor(
    private readonly scenario: ThreadScenario,
    private readonly kernel: KernelProfile,
    private readonly strategy: Strategy,
    before: readonly Invariant[] = [],
  ) {
    const without = scenario.without?.invariant;
    this.#invariants = [...before, ...INVARIANTS, ...(scenario.invariants ?? [])].filter(
      ({ name }) => name !== without,
    );
    this.world = this.#newWorld();
    this.#interleaving = new Interleaving(this.world, this.strategy, this.#invariants);
  }

  run(watch?: (world: World) => Interleaving['onStep']): Interleaving {
    if (this.#used && (this.scenario.fresh === true || this.world.spoilt)) {
      this.world = this.#newWorld();
      this.#interleaving = new Interleaving(this.world, this.strategy, this.#invariants);
    }
    this.#used = true;
    this.world.reset();
    if (watch !== undefined) this.#interleaving.onStep = watch(this.world);
    this.#interleaving.run(this.scenario);
    return this.#interleaving;
  }

  /** What came of the run. */
  outcome(): string {
    return this.scenario.outcome?.(this.world) ?? outcomeOf(this.world);
  }

  #newWorld(): World {
    return new World(this.kernel, this.scenario.machine ?? {}, this.scenario.choices ?? ['interrupt.route']);
  }
}

/** The same tape has to give the same run, on another machine: else something chooses that is no choice. */
class Repetition {
  readonly #strategy = new Replay(new Map());
  readonly #stage: Stage;

  constructor(
    private readonly scenario: ThreadScenario,
    private readonly kernel: KernelProfile,
    before: readonly Invariant[] | undefined,
  ) {
    this.#stage = new Stage(scenario, kernel, this.#strategy, before);
  }

  /** @throws Error the run is not the same when it is made again */
  check(run: Interleaving, outcome: string): void {
    this.#strategy.next(run.tape);
    const again = this.#stage.run();
    const same = again.steps === run.steps && again.violation?.what === run.violation?.what;
    if (!same || again.last.name !== run.last.name || this.#stage.outcome() !== outcome) this.#differs(run, again);
  }

  /** Where two more runs part says what it is that chooses. */
  #differs(run: Interleaving, again: Interleaving): never {
    const token = formatToken({ kernel: this.kernel, scenario: this.scenario.name, tape: run.tape });
    const [once, twice] = [this.#stepsOf(run), this.#stepsOf(run)];
    const at = once.findIndex((step, nth) => step !== twice[nth]);
    const where =
      at < 0
        ? ''
        : `; two more runs part at step ${at + 1}, where one takes ${once[at]} and one ${twice[at] ?? 'none'}`;
    throw new Error(
      `${this.scenario.name} is not deterministic: ${token} took ${run.steps} steps, and ${again.steps} when it was run again${where}`,
    );
  }

  #stepsOf(run: Interleaving): readonly string[] {
    const steps: string[] = [];
    this.#strategy.next(run.tape);
    this.#stage.run(() => (actor, step) => steps.push(`${step.name} of ${actor.name}`));
    return steps;
  }
}

/** Runs that shrinking may take. */
const SHRINK_RUNS = 60_000;

/** The run with the fewest choices that are not calm and the same failure. */
function shrink(
  scenario: ThreadScenario,
  kernel: KernelProfile,
  tape: Tape,
  violation: Violation,
): { readonly tape: Tape; readonly violation: Violation } {
  let left = SHRINK_RUNS;
  for (let delays = 0; delays < tape.size; delays++) {
    const strategy = new Exhaustive(delays, 'delays');
    const stage = new Stage(scenario, kernel, strategy);
    while (left-- > 0 && strategy.begin()) {
      const run = stage.run();
      if (run.violation !== undefined && sameFailure(run.violation, violation)) {
        return { tape: run.tape, violation: run.violation };
      }
    }
    if (left <= 0) break;
  }
  return { tape, violation };
}
