/**
 * The explorer: schedules a second on the kernel's own code, beside `fc.scheduler` on the same race written with awaits (the
 * reference); what finding the defects of 2005 takes; what partial-order reduction saves; how cost and memory grow.
 */
import {
  Exhaustive,
  explore,
  type Invariant,
  knownDefect,
  PartialOrder,
  Pct,
  RandomWalk,
  SCENARIOS,
  type Strategy,
  scenarioNamed,
  type ThreadScenario,
} from '@usrdrv/emu';
import fc from 'fast-check';
import { type Contestant, compare, eachAlone, only } from './compare.ts';

/** What a schedule allocates dies with it: a larger young generation is collected less often, at the same price each time. */
const YOUNG_GENERATION = ['--min-semi-space-size=32', '--max-semi-space-size=32'];

/** Each in a process of its own: a campaign has one kernel and one strategy, and V8 compiles for what it has seen. */
const CAMPAIGNS = [
  explorer('exhaustive, chubb-2.6.11', 'chubb-2.6.11', () => new Exhaustive(3)),
  explorer('exhaustive, usrdrv-6.1', 'usrdrv-6.1', () => new Exhaustive(3)),
  explorer('pct, usrdrv-6.1', 'usrdrv-6.1', () => new Pct(1, 3)),
  explorer('dpor, usrdrv-6.1', 'usrdrv-6.1', () => new PartialOrder()),
];

const campaign = CAMPAIGNS.find(({ name }) => name === only);
if (campaign !== undefined) {
  await compare('two readers and one interrupt: a schedule', [
    { name: 'fc.scheduler, awaits', run: scheduled },
    campaign,
  ]);
} else {
  // First: nothing has been compiled yet.
  defects();
  eachAlone(
    CAMPAIGNS.map(({ name }) => name),
    YOUNG_GENERATION,
  );
  reduction();
  await compare('a step, in runs of two, four and eight interrupts', [1, 2, 4].map(growing));
  memory();
}

function explorer(name: string, kernel: 'chubb-2.6.11' | 'usrdrv-6.1', strategy: () => Strategy): Contestant {
  const scenario = scenarioNamed('two-readers');
  return {
    name,
    run(rounds) {
      // A strategy that has tried everything starts again.
      for (let left = rounds; left > 0; ) {
        const { runs } = explore(scenario, { kernel, strategy: strategy(), runs: left, shrink: false });
        left -= runs;
      }
    },
  };
}

/** D1 to D9, by every scenario of the library within 2 preemptions, each failure reduced to what is printed. */
function defects(): void {
  const start = process.hrtime.bigint();
  const fewest = new Map<string, number>();
  for (const scenario of SCENARIOS) {
    if (scenario.only?.kernel === 'usrdrv-6.1' || scenario.mostPreemptions !== undefined) continue;
    const { failures } = explore(scenario, { kernel: 'chubb-2.6.11', strategy: new Exhaustive(2) });
    for (const { violation, tape } of failures) {
      const defect = knownDefect(scenario.name, violation) ?? violation.what;
      fewest.set(defect, Math.min(fewest.get(defect) ?? Number.POSITIVE_INFINITY, tape.size));
    }
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(`the defects of 2005, from nothing, within 2 preemptions: ${seconds.toFixed(1)} s`);
  const names = [...fewest.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  console.log(`  choices that are not calm: ${names.map((name) => `${name} ${fewest.get(name)}`).join(', ')}`);
}

/** Schedules of three threads and two interrupts within one preemption, plain and reduced. */
function reduction(): void {
  const scenario = scenarioNamed('three-threads');
  const runs = (strategy: Strategy): number => explore(scenario, { strategy, shrink: false }).runs;
  const plain = runs(new Exhaustive(1));
  const reduced = runs(new PartialOrder(1));
  console.log('three threads and two interrupts within one preemption: schedules');
  console.log(`  plain ${plain}, with partial-order reduction ${reduced}: ${(plain / reduced).toFixed(1)} times fewer`);
}

const ACKNOWLEDGE = { name: 'ack' };
const RAISE = { name: 'raise' };

/** Two readers who share so many times two interrupts; a round is a step. */
function growing(times: number): Contestant {
  const scenario: ThreadScenario = {
    name: 'growing',
    about: 'two threads share the interrupts of a level line',
    start(world) {
      const line = world.line(16);
      const fd = world.open(16);
      for (const name of ['A', 'B']) {
        world.thread(name, function* (t) {
          for (let reads = 0; reads < times; reads++) {
            yield t.read(fd);
            yield ACKNOWLEDGE;
            line.lower();
          }
        });
      }
      world.device('device', function* () {
        for (let interrupts = 0; interrupts < 2 * times; interrupts++) {
          yield line.asserted ? { name: 'unacknowledged', ready: () => !line.asserted } : RAISE;
          line.raise();
        }
      });
    },
  };
  return {
    name: `${2 * times} interrupts`,
    run(rounds) {
      for (let left = rounds; left > 0; ) {
        left -= explore(scenario, { strategy: new RandomWalk(1), runs: Math.ceil(left / (60 * times)) }).steps;
      }
    },
  };
}

/** The heap in the midst of one campaign, after its millionth and its ten-millionth run. */
function memory(): void {
  const heap: number[] = [];
  let runs = 0;
  const sample: Invariant = {
    name: 'a sample of the heap',
    atEnd() {
      runs++;
      if (runs === 1_000_000 || runs === 10_000_000) {
        globalThis.gc?.();
        heap.push(process.memoryUsage().heapUsed / 2 ** 20);
      }
      return undefined;
    },
  };
  explore(scenarioNamed('two-readers'), { strategy: new Exhaustive(8), runs: 10_000_000, before: [sample] });
  const [early = 0, late = 0] = heap;
  console.log('the heap in one campaign');
  console.log(`  after 1,000,000 schedules ${early.toFixed(1)} MiB, after 10,000,000 ${late.toFixed(1)} MiB`);
}

async function scheduled(rounds: number): Promise<void> {
  await fc.check(fc.asyncProperty(fc.scheduler(), race), { numRuns: rounds, endOnFailure: true });
}

/**
 * The race with awaits, step by step as in the 2005 kernel: it can be interrupted wherever the explorer can interrupt that,
 * in user space, in the system call, in the interrupt's flow and at a wake-up. With fewer steps it would be a smaller race.
 */
async function race(s: fc.Scheduler): Promise<void> {
  let count = 0;
  let masked = false;
  let asserted = false;
  const sleepers: (() => void)[] = [];
  const step = <T>(act: () => T): Promise<T> => s.schedule(Promise.resolve()).then(act);
  const taken = async (): Promise<void> => {
    await step(() => undefined); // the processor takes it
    await step(() => undefined); // I5
    await step(() => {
      masked = true; // H1
    });
    await step(() => {
      count++; // H2
    });
    await step(() => {
      for (const wake of sleepers.splice(0)) wake(); // H3
    });
    await step(() => undefined); // I5, the end
  };
  const deliver = (): void => {
    if (asserted && !masked) void taken();
  };
  const raise = (): void => {
    asserted = true;
    deliver();
  };
  const reader = async (): Promise<void> => {
    await step(() => undefined); // user space, up to the system call
    let pending = await step(() => count); // R1
    if (pending === 0) {
      if (await step(() => masked)) {
        // R2a
        await step(() => {
          masked = false; // R2b
          deliver();
        });
      }
      await step(() => undefined); // R2c
      while (pending === 0) {
        let woken: Promise<void> = Promise.resolve();
        await step(() => {
          woken = new Promise((resolve) => sleepers.push(resolve)); // R3a
        });
        pending = await step(() => count); // R3b
        if (pending === 0) {
          await step(() => undefined); // R3c
          await woken;
          await step(() => undefined); // schedule
        }
        await step(() => undefined); // R3d
      }
    }
    await step(() => undefined); // R4
    await step(() => {
      count -= pending; // R6
    });
    await step(() => {
      asserted = false; // the driver acknowledges the device
    });
  };
  void reader();
  void reader();
  void step(raise);
  await s.waitIdle();
  // Who sleeps on gets another interrupt, as at the end of a run of the explorer, unless none is let through.
  while (sleepers.length > 0 && !masked && !asserted) {
    raise();
    await s.waitIdle();
  }
}
