import type { KernelProfile } from '@usrdrv/core';
import { type EmulatedBackend, emulated } from '../emulated.ts';
import { macrotask } from '../machine/idle.ts';
import type { Machine, MachineOptions } from '../machine/machine.ts';
import { type Course, RunCourse } from './course.ts';
import { faults } from './fault-plan.ts';
import { MACHINE_INVARIANTS, type MachineInvariant } from './machine-invariants.ts';
import type { RecordingOracle } from './recording-oracle.ts';
import { TapeOracle } from './tape-oracle.ts';
import { checkScenarioName, parseToken } from './token.ts';

/** A program that uses drivers, to be run again and again, each time on a machine of its own. */
export interface Scenario {
  /** Names it in tokens: letters, digits, `.`, `_`, `~` and `-`. */
  readonly name: string;
  /** What it shows, in a line. */
  readonly about?: string;
  /** Invariants besides those that always hold. */
  readonly invariants?: readonly MachineInvariant[];
  /** The kernels that it makes sense on, and why not on others. Left out: all. */
  readonly only?: { readonly kernel: KernelProfile; readonly because: string };
  /**
   * Runs it once. It rejects where something is wrong: a driver did not keep its promise. It waits for nothing but the
   * machines that it makes, and takes chance and time from nowhere else; else no token has the run again.
   * @param powerOn `emulated` for this run; what it gives is closed when the run is over
   * @param course what may happen at any moment, and when nothing goes wrong any more
   */
  run(powerOn: PowerOn, course: Course): Promise<void>;
}

/** Switches a machine of a scenario on: kernel and oracle are the run's. */
export type PowerOn = (o?: Omit<MachineOptions, 'kernel' | 'oracle'>) => EmulatedBackend;

export interface RunOptions {
  /** Left out: `usrdrv-6.1`. */
  readonly kernel?: KernelProfile;
  /** A fresh one. Left out, nothing goes wrong. */
  readonly oracle?: RecordingOracle;
  /** Milliseconds of virtual time that the run may take. Left out: 60,000. */
  readonly limitMs?: number;
  /** Choices that the run may ask for. Left out: 1,000,000. */
  readonly limitChoices?: number;
  /** Whether the machines' event logs are on. */
  readonly trace?: boolean;
  /** What holds whatever the scenario says. Left out: {@link MACHINE_INVARIANTS}. */
  readonly invariants?: readonly MachineInvariant[];
  /** Hears of each machine when it is switched on. */
  readonly onPowerOn?: (machine: Machine) => void;
}

/** A run that is over. */
export interface Run {
  /** What has it again, with {@link replay}. */
  readonly token: string;
  readonly oracle: RecordingOracle;
  /** The machines that it made, for a look at what they have become. */
  readonly machines: readonly Machine[];
}

/** A scenario failed, in what its `cause` says. */
export class ScenarioFailure extends Error {
  override readonly name = 'ScenarioFailure';
  constructor(
    scenario: Scenario,
    readonly run: Run,
    cause: unknown,
  ) {
    const after = run.oracle.describe().map((each) => `\n  after ${each}`);
    const again = `\n  again with replay('${run.token}', …)`;
    super(`${scenario.name}: ${cause instanceof Error ? cause.message : String(cause)}${after.join('')}${again}`, {
      cause,
    });
  }

  get token(): string {
    return this.run.token;
  }

  /** What reports show beside the message: not the machines, which have many pages. */
  toJSON(): { readonly name: string; readonly message: string; readonly token: string } {
    return { name: this.name, message: this.message, token: this.token };
  }
}

/** The run does not end: everybody waits and nothing more will happen, or it takes longer than it may. */
export class NoEndError extends Error {
  override readonly name = 'NoEndError';
}

/** Something was otherwise than it must ever be. */
export class BrokenInvariantError extends Error {
  override readonly name = 'BrokenInvariantError';
  constructor(
    /** The name of the invariant; and what was wrong, in words. */
    readonly invariant: string,
    readonly what: string,
  ) {
    super(`${invariant}: ${what}`);
  }
}

const LIMIT_MS = 60_000;
const LIMIT_CHOICES = 1_000_000;
/** Turns of the event loop without a trace of progress, after which there will be none. */
const IDLE_TURNS = 1000;

/**
 * Runs a scenario once.
 * @throws ScenarioFailure the scenario rejected, hangs, or takes longer than it may
 * @throws RangeError a name that no token can hold
 */
export async function runScenario(scenario: Scenario, o: RunOptions = {}): Promise<Run> {
  checkScenarioName(scenario.name);
  const { kernel = 'usrdrv-6.1', oracle = faults([]), trace = false } = o;
  const { limitMs = LIMIT_MS, limitChoices = LIMIT_CHOICES } = o;
  if (scenario.only !== undefined && scenario.only.kernel !== kernel) {
    throw new RangeError(`${scenario.name} is not for ${kernel}: ${scenario.only.because}`);
  }
  const invariants = [...(o.invariants ?? MACHINE_INVARIANTS), ...(scenario.invariants ?? [])];
  const backends: EmulatedBackend[] = [];
  const machines: Machine[] = [];
  const course = new RunCourse(oracle, machines);
  const powerOn: PowerOn = (options) => {
    const backend = emulated({ trace, ...options, kernel, oracle });
    backends.push(backend);
    machines.push(backend.machine);
    o.onPowerOn?.(backend.machine);
    return backend;
  };
  const close = (): void => {
    for (const backend of backends.splice(0).reverse()) backend.close();
  };
  oracle.scenario = scenario.name;
  // The run is ended from outside, between turns; only what never comes to a turn is ended by the oracle.
  oracle.limit = 2 * limitChoices;
  try {
    const program = scenario.run(powerOn, course).then(() => Promise.all(course.acted));
    await ended(program, oracle, machines, course, { limitMs, limitChoices, invariants });
    oracle.calm = true;
    close();
    // Who still waited hears that it is over.
    await new Promise<void>((resolve) => macrotask(resolve));
    check(machines, invariants, 'atEnd');
    return { token: oracle.token(kernel), oracle, machines };
  } catch (cause) {
    const failure = new ScenarioFailure(scenario, { token: oracle.token(kernel), oracle, machines }, cause);
    oracle.limit = Number.POSITIVE_INFINITY;
    try {
      close();
    } catch {
      // What cannot be closed after a failure is part of it.
    }
    throw failure;
  }
}

/**
 * Has a run again, from its token alone.
 * @param o.oracle one for the token's tape, for whoever wants to hear of its choices
 * @throws ScenarioFailure as the first time
 * @throws TypeError what is no token
 * @throws RangeError a token of another scenario, or of a run that does not happen any more: the program has changed since
 */
export async function replay(
  token: string,
  scenario: Scenario,
  o: Omit<RunOptions, 'kernel' | 'oracle'> & { readonly oracle?: TapeOracle } = {},
): Promise<Run> {
  const { kernel, scenario: name, tape } = parseToken(token);
  if (name !== scenario.name) throw new RangeError(`${token} is a run of ${name}, not of ${scenario.name}`);
  const { oracle = new TapeOracle(tape) } = o;
  const run = await runScenario(scenario, { ...o, kernel, oracle });
  const [never] = oracle.unused.keys();
  if (never === undefined) return run;
  throw new RangeError(`${token} does not happen any more: nothing like its choice ${never} was asked`);
}

/** What a run is held against. */
interface Limits {
  readonly limitMs: number;
  readonly limitChoices: number;
  readonly invariants: readonly MachineInvariant[];
}

/** Resolves with the program, and rejects where it never will, or where an invariant does not hold. */
async function ended(
  program: Promise<unknown>,
  oracle: RecordingOracle,
  machines: readonly Machine[],
  course: RunCourse,
  { limitMs, limitChoices, invariants }: Limits,
): Promise<void> {
  let over = false;
  const done = program.finally(() => {
    over = true;
  });
  // It is awaited below, unless the run is given up; what becomes of it then is told to nobody.
  done.catch(() => {});
  let progress = '';
  for (let idle = 0; !over; ) {
    await new Promise<void>((resolve) => macrotask(resolve));
    const times = machines.map(({ clock }) => clock.now);
    if (times.some((now) => now > limitMs * 1e6)) {
      throw new NoEndError(`it did not end within ${limitMs} ms of virtual time`);
    }
    if (oracle.calls > limitChoices) throw new NoEndError(`it did not end within ${limitChoices} choices`);
    check(machines, invariants, 'always');
    const { overdue } = course;
    if (overdue !== undefined) throw new BrokenInvariantError(PROGRESS, overdue);
    const now = `${times} ${oracle.calls}`;
    idle = now === progress ? idle + 1 : 0;
    progress = now;
    if (idle > IDLE_TURNS) throw new NoEndError(`nobody can go on${machines.map(whoWaits).join('')}`);
  }
  await done;
}

/** Drivers get over their faults. */
const PROGRESS = 'drivers make progress again';

function check(machines: readonly Machine[], invariants: readonly MachineInvariant[], when: 'always' | 'atEnd'): void {
  for (const machine of machines) {
    for (const invariant of invariants) {
      const what = invariant[when]?.(machine);
      if (what !== undefined) throw new BrokenInvariantError(invariant.name, what);
    }
  }
}

function whoWaits({ idle }: Machine): string {
  return `: ${idle.waiters} wait, and there is nothing that will end it`;
}
