import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { PartialOrder } from './dpor.ts';
import { Exhaustive } from './exhaustive.ts';
import { type Exploration, explore, replayThreads, runTape } from './explore.ts';
import type { Interleaving } from './interleaving.ts';
import { knownDefect } from './known-defects.ts';
import { litmus, read } from './litmus.ts';
import { Portfolio } from './portfolio.ts';
import { Pct, RandomWalk } from './random-strategies.ts';
import { SCENARIOS, scenarioNamed } from './scenarios.ts';
import type { Strategy } from './strategy.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import { parseToken } from './token.ts';
import type { World } from './world.ts';

// Thousands of runs, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

/** What each scenario shows of the 2005 code, within two preemptions. */
const DEFECTS: Readonly<Record<string, readonly string[]>> = {
  'one-reader': ['D3'],
  'two-readers': ['D1', 'D2', 'D3', 'D4'],
  'two-readers-again': ['D1', 'D2', 'D3', 'D5'],
  'two-processors': ['D3', 'D4'],
  edge: ['D3', 'D4', 'D6', 'D9'],
  'edge-close': ['D3', 'D4', 'D6', 'D9'],
  'edge-reopen': ['D3', 'D7', 'D9'],
  nonblocking: ['D3', 'D4', 'D7'],
  'reader-and-poller': ['D2', 'D3', 'D4'],
  poller: ['D3'],
  'poll-timeout': ['D3'],
  'epoll-level': ['D15', 'D3'],
  'epoll-edge': ['D3', 'D8'],
  'close-while-reading': ['D3', 'D4'],
  signal: ['D3'],
  'signal-alone': [],
  'bad-buffer-edge': ['D2'],
  'bad-buffer': ['D2'],
  'line-of-a-disk': [],
};

// What has too many schedules for this has a test of its own.
const small = SCENARIOS.filter(({ mostPreemptions }) => mostPreemptions === undefined);
const chubb = small.filter(({ only }) => only === undefined || only.kernel === 'chubb-2.6.11');
const usrdrv = small.filter(({ only }) => only === undefined || only.kernel === 'usrdrv-6.1');

function defectsIn({ scenario, failures }: Exploration): string[] {
  return [...new Set(failures.map(({ violation }) => knownDefect(scenario, violation) ?? violation.what))].sort();
}

describe('the 2005 code', () => {
  it.each(chubb)('$name: general invariants find its defects within 2 preemptions', (scenario) => {
    const exploration = explore(scenario, { kernel: 'chubb-2.6.11', strategy: new Exhaustive(2) });
    expect(defectsIn(exploration)).toEqual(DEFECTS[scenario.name]);
    expect(exploration.exhaustive).toBe(true);
    for (const { token, violation } of exploration.failures) {
      const first = timeline(scenario, token);
      expect(first.violation).toEqual(violation);
      expect(timeline(scenario, token)).toEqual(first);
    }
  });

  it('D1 to D6 need at most 2 choices each that are not calm', () => {
    const fewest = new Map<string, number>();
    for (const scenario of chubb) {
      for (const { violation, tape } of explore(scenario, { kernel: 'chubb-2.6.11', strategy: new Exhaustive(2) })
        .failures) {
        const defect = knownDefect(scenario.name, violation) ?? violation.what;
        fewest.set(defect, Math.min(fewest.get(defect) ?? Number.POSITIVE_INFINITY, tape.size));
      }
    }
    for (const defect of ['D1', 'D2', 'D3', 'D4', 'D5', 'D6'])
      expect(fewest.get(defect), defect).toBeLessThanOrEqual(2);
    expect([...fewest.keys()].sort()).toEqual(['D1', 'D15', 'D2', 'D3', 'D4', 'D5', 'D6', 'D7', 'D8', 'D9']);
  });
});

describe('the fixed code', () => {
  it.each(usrdrv)('$name: nothing is wrong within 2 preemptions', (scenario) => {
    const exploration = explore(scenario, { strategy: new Exhaustive(2) });
    expect(exploration.failures).toEqual([]);
    expect(exploration.covered).toMatch(/^exhaustive within 2 preemptions: [\d,]+ schedules$/);
  });
});

describe('strategies', () => {
  it.each([
    ['random', () => new RandomWalk(1)],
    ['PCT', () => new Pct(1, 3)],
    ['a portfolio', () => new Portfolio([new Exhaustive(2), new PartialOrder(), new Pct(1, 3), new RandomWalk(1)])],
  ])('%s finds D1 and D2, the same ones for the same seed', (_name, strategy) => {
    const run = () =>
      explore(scenarioNamed('two-readers'), { kernel: 'chubb-2.6.11', strategy: strategy(), runs: 3000 });
    const exploration = run();
    expect(defectsIn(exploration)).toEqual(expect.arrayContaining(['D1', 'D2']));
    expect(exploration.exhaustive).toBe(false);
    expect(exploration.covered).toMatch(/^bounded by 3,000 runs/);
    expect(run()).toEqual(exploration);
  });

  it('fewer preemptions make fewer schedules', () => {
    const runs = [0, 1, 2].map((most) => explore(scenarioNamed('edge'), { strategy: new Exhaustive(most) }).runs);
    expect(runs).toEqual([...runs].sort((a, b) => a - b));
    expect(new Set(runs).size).toBe(3);
  });
});

const KERNELS = ['chubb-2.6.11', 'usrdrv-6.1'] as const;

describe.each(KERNELS)('what a run has in common with the last one, on %s', (kernel) => {
  const scenarios = small.filter(
    ({ only, name }) => (only?.kernel ?? kernel) === kernel && name !== 'two-readers-again',
  );

  it.each(scenarios)('$name: is not looked at again, and everything comes out the same', (scenario) => {
    const options = { kernel, runs: 5000, outcomes: true };
    const resuming = explore(scenario, { ...options, strategy: new Exhaustive(2) });
    expect(resuming).toEqual(explore(scenario, { ...options, strategy: withoutResume(new Exhaustive(2)) }));
  });
});

/** The same runs, each asked about from its start. */
function withoutResume(strategy: Strategy): Strategy {
  return {
    name: strategy.name,
    bound: strategy.bound,
    get exhausted() {
      return strategy.exhausted;
    },
    begin: () => strategy.begin(),
    stays: (at) => strategy.stays(at),
    schedule: (at, enabled, count, preempts) => strategy.schedule(at, enabled, count, preempts),
    pick: (at, n, tag) => strategy.pick(at, n, tag),
  };
}

it('a schedule is a tape, which fast-check finds and shrinks', () => {
  const scenario = scenarioNamed('two-readers');
  const entry = fc.tuple(fc.nat({ max: 40 }), fc.integer({ min: 1, max: 3 }));
  const property = fc.property(fc.array(entry, { maxLength: 4 }), (entries) => {
    const { violation } = runTape(scenario, 'chubb-2.6.11', new Map(entries));
    expect(violation?.invariant).not.toBe('counts are not negative');
  });
  const { failed, counterexample } = fc.check(property, { seed: 1, numRuns: 2000 });
  expect(failed).toBe(true);
  // Entries that change nothing are gone; what is left is no more than it takes.
  expect(counterexample?.[0].length).toBeLessThanOrEqual(2);
});

describe('runs', () => {
  it('a token of another scenario, or of a run that does not happen, is refused', () => {
    expect(() => replayThreads('emu1:usrdrv-6.1:edge:0', scenarioNamed('signal'))).toThrow(RangeError);
    expect(() => replayThreads('emu1:usrdrv-6.1:edge:zzz', scenarioNamed('edge'))).toThrow(/does not happen any more/);
    expect(() => replayThreads('emu1:usrdrv-6.1:edge', scenarioNamed('edge'))).toThrow(TypeError);
  });

  it('a scenario that is not for a kernel says why', () => {
    expect(() => explore(scenarioNamed('epoll-edge'))).toThrow(/reading until EAGAIN/);
  });

  it('what chooses without asking is found when a run is made twice', () => {
    let calls = 0;
    const scenario = litmus({
      name: 'restless',
      about: 'a thread whose program differs from run to run',
      line: 16,
      threads: { A: [read, { name: 'sometimes', act: (t, { fd }) => (++calls % 7 === 0 ? t.close(fd) : undefined) }] },
    });
    expect(() => explore(scenario, { strategy: new RandomWalk(1), runs: 5000 })).toThrow(/not deterministic: emu1:/);
  });

  it('a program that never ends is a failure with a token, not a hang', () => {
    const scenario: ThreadScenario = {
      name: 'busy',
      about: 'a thread that spins in user space',
      start(world) {
        world.thread('A', function* () {
          for (;;) yield { name: 'spin' };
        });
      },
    };
    const { failures } = explore(scenario, { strategy: new Exhaustive(0) });
    expect(failures.map(({ violation }) => violation.invariant)).toEqual(['every run ends']);
    const [failure] = failures;
    expect(replayThreads(failure?.token ?? '', scenario).violation).toEqual(failure?.violation);
  });

  it('an exception in a program is a failure that replays', () => {
    const scenario: ThreadScenario = {
      name: 'throws',
      about: 'a driver with a bug',
      start(world) {
        world.thread('A', function* () {
          yield { name: 'work' };
          throw new Error('the driver is wrong');
        });
      },
    };
    const [failure] = explore(scenario, { strategy: new Exhaustive(0) }).failures;
    expect(failure?.violation).toMatchObject({ invariant: 'no exception', what: 'the driver is wrong' });
    expect(parseToken(failure?.token ?? '').tape.size).toBe(0);
  });
});

function timeline(scenario: ThreadScenario, token: string) {
  const log: string[] = [];
  const watch =
    (_world: World): Interleaving['onStep'] =>
    (actor, step) =>
      log.push(`${actor.name} ${step.name}`);
  const { violation, steps } = replayThreads(token, scenario, watch);
  return { violation, steps, log };
}
