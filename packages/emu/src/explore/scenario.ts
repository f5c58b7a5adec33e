import type { KernelProfile } from '@usrdrv/core';
import { type EmulatedBackend, emulated } from '../emulated.ts';
import { macrotask } from '../machine/idle.ts';
import type { Machine, MachineOptions } from '../machine/machine.ts';
import { faults } from './fault-plan.ts';
import type { RecordingOracle } from './recording-oracle.ts';
import { TapeOracle } from './tape-oracle.ts';
import { checkScenarioName, parseToken } from './token.ts';

/** A program that uses drivers, to be run again and again, each time on a machine of its own. */
export interface Scenario {
  /** Names it in tokens: letters, digits, `.`, `_`, `~` and `-`. */
  readonly name: string;
  /**
   * Runs it once. It rejects where something is wrong: a driver did not keep its promise. It waits for nothing but the
   * machines that it makes, and takes chance and time from nowhere else; else no token has the run again.
   * @param powerOn `emulated` for this run; what it gives is closed when the run is over
   */
  run(powerOn: PowerOn): Promise<void>;
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

const LIMIT_MS = 60_000;
const LIMIT_CHOICES = 1_000_000;
/** Turns of the event loop without a trace of progress, after which there will be none. */
const IDLE_TURNS = 1000;
/** The run is ended from outside, between turns; only what never comes to a turn is ended by the oracle. */
const CHOICES_IN_A_TURN = 1_000_000;

/**
 * Runs a scenario once.
 * @throws ScenarioFailure the scenario rejected, hangs, or takes longer than it may
 * @throws RangeError a name that no token can hold
 */
export async function runScenario(scenario: Scenario, o: RunOptions = {}): Promise<Run> {
  checkScenarioName(scenario.name);
  const { kernel = 'usrdrv-6.1', oracle = faults([]), trace = false } = o;
  const { limitMs = LIMIT_MS, limitChoices = LIMIT_CHOICES } = o;
  const backends: EmulatedBackend[] = [];
  const machines: Machine[] = [];
  const powerOn: PowerOn = (options) => {
    const backend = emulated({ trace, ...options, kernel, oracle });
    backends.push(backend);
    machines.push(backend.machine);
    return backend;
  };
  const close = (): void => {
    for (const backend of backends.splice(0).reverse()) backend.close();
  };
  oracle.scenario = scenario.name;
  oracle.limit = limitChoices + CHOICES_IN_A_TURN;
  try {
    await ended(scenario.run(powerOn), oracle, machines, { limitMs, limitChoices });
    close();
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
 * @throws ScenarioFailure as the first time
 * @throws TypeError what is no token
 * @throws RangeError a token of another scenario, or of a run that does not happen any more: the program has changed since
 */
export async function replay(
  token: string,
  scenario: Scenario,
  o: Omit<RunOptions, 'kernel' | 'oracle'> = {},
): Promise<Run> {
  const { kernel, scenario: name, tape } = parseToken(token);
  if (name !== scenario.name) throw new RangeError(`${token} is a run of ${name}, not of ${scenario.name}`);
  const oracle = new TapeOracle(tape);
  const run = await runScenario(scenario, { ...o, kernel, oracle });
  const [never] = oracle.unused.keys();
  if (never === undefined) return run;
  throw new RangeError(`${token} does not happen any more: nothing like its choice ${never} was asked`);
}

/** Resolves with the program, and rejects where it never will. */
async function ended(
  program: Promise<void>,
  oracle: RecordingOracle,
  machines: readonly Machine[],
  { limitMs, limitChoices }: { readonly limitMs: number; readonly limitChoices: number },
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
    if (oracle.asked > limitChoices) throw new NoEndError(`it did not end within ${limitChoices} choices`);
    const now = `${times} ${oracle.asked}`;
    idle = now === progress ? idle + 1 : 0;
    progress = now;
    if (idle > IDLE_TURNS) throw new NoEndError(`nobody can go on${machines.map(whoWaits).join('')}`);
  }
  return done;
}

function whoWaits({ idle }: Machine): string {
  return `: ${idle.waiters} wait, and there is nothing that will end it`;
}
