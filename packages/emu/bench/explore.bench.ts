/**
 * Two readers of one irq file and one interrupt: schedules a second of the explorer, on the kernel's own code, and of
 * `fc.scheduler` on a model of the same race that is written with awaits (the reference).
 */
import { Exhaustive, explore, PartialOrder, Pct, type Strategy, scenarioNamed } from '@usrdrv/emu';
import fc from 'fast-check';
import { type Contestant, compare } from './compare.ts';

const scenario = scenarioNamed('two-readers');

await compare('two readers and one interrupt: a schedule', [
  { name: 'fc.scheduler, awaits', run: scheduled },
  explorer('exhaustive, chubb-2.6.11', 'chubb-2.6.11', () => new Exhaustive(3)),
  explorer('exhaustive, usrdrv-6.1', 'usrdrv-6.1', () => new Exhaustive(3)),
  explorer('pct, usrdrv-6.1', 'usrdrv-6.1', () => new Pct(1, 3)),
  explorer('dpor, usrdrv-6.1', 'usrdrv-6.1', () => new PartialOrder()),
]);

function explorer(name: string, kernel: 'chubb-2.6.11' | 'usrdrv-6.1', strategy: () => Strategy): Contestant {
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

async function scheduled(rounds: number): Promise<void> {
  await fc.check(fc.asyncProperty(fc.scheduler(), race), { numRuns: rounds, endOnFailure: true });
}

/** The race with awaits: each step of a read and of the handler waits for its turn. */
async function race(s: fc.Scheduler): Promise<void> {
  let count = 0;
  let masked = false;
  const step = <T>(act: () => T): Promise<T> => s.schedule(Promise.resolve()).then(act);
  const read = async (): Promise<void> => {
    let pending = await step(() => count);
    if (pending === 0 && (await step(() => masked))) {
      await step(() => {
        masked = false;
      });
    }
    for (let looks = 0; pending === 0 && looks < 3; looks++) pending = await step(() => count);
    await step(() => pending);
    await step(() => {
      count -= pending;
    });
  };
  const interrupt = async (): Promise<void> => {
    await step(() => {
      masked = true;
    });
    await step(() => {
      count++;
    });
    await step(() => undefined);
  };
  const all = Promise.all([read(), read(), interrupt()]);
  await s.waitFor(all);
}
