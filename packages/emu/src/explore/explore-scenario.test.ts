import { SystemError } from '@usrdrv/core';
import { describe, expect, test, vi } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import type { EmulatedBackend } from '../emulated.ts';
import { Exhaustive } from './exhaustive.ts';
import { exploreScenario } from './explore-scenario.ts';
import { RandomDeviations } from './random-deviations.ts';
import { replay, type Scenario, ScenarioFailure } from './scenario.ts';
import { recordScenario } from './scenario-recording.ts';
import { parseToken } from './token.ts';

// Hundreds of runs, on a machine that may be busy.
vi.setConfig({ testTimeout: 90_000 });

/** A driver that takes the first interrupt for the one that it waits for, unless it looks whether the device is done. */
async function factorial(backend: EmulatedBackend, looks: boolean): Promise<number> {
  using device = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
  const registers = device.bar(0);
  using irq = device.irq();
  registers.write32(0x20, 0x80);
  registers.write32(0x08, 5);
  do {
    if (!(await irq.poll({ timeoutMs: 1000 }))) throw new SystemError('ETIMEDOUT', 'factorial');
    irq.tryRead();
    registers.write32(0x64, registers.read32(0x24));
  } while (looks && (registers.read32(0x20) & 1) !== 0 && registers.read32(0) === 0x0100_00ed);
  const result = registers.read32(0x08);
  if (registers.read32(0) !== 0x0100_00ed) throw new SystemError('ENODEV', 'factorial');
  return result;
}

function computes(looks: boolean): Scenario {
  return {
    name: 'computes',
    async run(powerOn) {
      const result: unknown = await factorial(powerOn({ devices: [new EduDevice()] }), looks).catch((error) => error);
      if (result !== 120 && !(result instanceof SystemError)) throw new Error(`5! is 120, not ${result}`);
    },
  };
}

describe('an exploration of a whole driver', () => {
  test('finds nothing in a careful one, and says within which bound', async () => {
    const { failures, covered, exhaustive } = await exploreScenario(computes(true));
    expect(failures).toEqual([]);
    expect(exhaustive).toBe(true);
    expect(covered).toMatch(/^exhaustive within 1 deviation: \d+ schedules$/);
  });

  test('finds what a careless one does wrong, by one choice, and its token replays', async () => {
    const scenario = computes(false);
    const { failures } = await exploreScenario(scenario);
    const [failure] = failures;
    expect(failures.map(({ violation }) => violation.what)).toEqual(['5! is 120, not 5']);
    expect(failure?.tape.size).toBe(1);
    const token = failure?.token ?? '';
    await expect(replay(token, scenario)).rejects.toThrow(ScenarioFailure);
    const first = await recordScenario(token, scenario);
    expect(first.violation).toEqual(failure?.violation);
    expect(first.moments.filter(({ actor }) => actor === 'choice')).toHaveLength(1);
    expect(first.irqs).toEqual([16]);
    expect(await recordScenario(token, scenario)).toEqual(first);
  });

  test('at random finds the same, reduced to one choice, and the same again for the same seed', async () => {
    const run = () =>
      exploreScenario(computes(false), { strategy: new RandomDeviations(1, 4), runs: 300, failures: 1 });
    const { failures, covered, exhaustive } = await run();
    expect(failures[0]?.tape.size).toBe(1);
    expect(exhaustive).toBe(false);
    expect(covered).toMatch(/^bounded by \d+ runs \(up to 4 random deviations, seed 1, ended by failures\)$/);
    expect((await run()).failures).toEqual(failures);
  });

  test('of some kinds of choices only says so, and goes deeper', async () => {
    const tags = ['interrupt.spurious', 'access.event', 'event.next', 'result.late'] as const;
    const { covered } = await exploreScenario(computes(true), { tags, strategy: new Exhaustive(2, 'delays') });
    expect(covered).toMatch(/^exhaustive within 2 deviations of interrupt.spurious, access.event.*: [\d,]+ schedules$/);
  });

  test('finds what chooses without asking, and where the runs first differ', async () => {
    let runs = 0;
    const restless: Scenario = {
      name: 'restless',
      async run(powerOn) {
        const backend = powerOn({ devices: [new EduDevice()] });
        const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0n }).bar(0);
        if (++runs % 2 === 0) registers.read32(0);
        backend.openIrq(17);
      },
    };
    await expect(exploreScenario(restless)).rejects.toThrow(
      /^restless is not deterministic: emu1:.* differed: choice \d+ was .*, then device.remove, of 2 ways$/,
    );
    let ms = 0;
    const slow: Scenario = { name: 'slow', run: async (powerOn) => powerOn().clock.sleep(++ms) };
    await expect(exploreScenario(slow)).rejects.toThrow('it ended at 1 ms with nothing wrong, then at 2 ms');
  });

  test('holds every run against the general invariants, and the scenario’s own', async () => {
    const leaves: Scenario = {
      name: 'leaves',
      async run(powerOn) {
        const backend = powerOn({ devices: [new EduDevice()] });
        const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn }).bar(0);
        // Nothing is mapped at 0x1000.
        registers.write64(0x80, 0x1000n);
        registers.write64(0x88, 0x40000n);
        registers.write64(0x90, 16n);
        registers.write64(0x98, 1n);
        await backend.clock.sleep(200);
      },
    };
    const strategy = () => new Exhaustive(0, 'delays');
    const { failures } = await exploreScenario(leaves, { strategy: strategy() });
    expect(failures.map(({ violation }) => violation.invariant)).toEqual([
      'a bus master touches only what is mapped to it',
    ]);
    expect((await exploreScenario(leaves, { strategy: strategy(), invariants: [] })).failures).toEqual([]);

    const noTime = {
      name: 'no time passes',
      always: ({ clock }: { readonly clock: { readonly now: number } }) => (clock.now > 1e8 ? 'it did' : undefined),
    };
    const own = await exploreScenario({ ...leaves, invariants: [noTime] }, { strategy: strategy(), invariants: [] });
    expect(own.failures.map(({ violation }) => [violation.invariant, violation.what])).toEqual([
      ['no time passes', 'it did'],
    ]);
  });

  test('goes wherever something can happen at any moment', async () => {
    const seen = new Set<number>();
    const scenario: Scenario = {
      name: 'meanwhile',
      async run(powerOn, course) {
        const backend = powerOn({ devices: [new EduDevice()] });
        let done = 0;
        course.meanwhile('note', () => void seen.add(done));
        for (; done < 3; done++) {
          backend.openIrq(16).close();
          await backend.clock.sleep(1);
        }
      },
    };
    await exploreScenario(scenario, { tags: ['meanwhile'] });
    expect([...seen].sort()).toEqual([0, 1, 2]);
  });

  test('a driver that makes no progress when the faults are over is a failure', async () => {
    const stuck: Scenario = {
      name: 'stuck',
      async run(powerOn, course) {
        const backend = powerOn({ devices: [new EduDevice()] });
        const first: unknown = await factorial(backend, true).catch((error) => error);
        course.calm(2000);
        // One that tried once only.
        if (first instanceof SystemError) await backend.clock.sleep(5000);
      },
    };
    const { failures } = await exploreScenario(stuck, { tags: ['device.stall'] });
    expect(failures.map(({ violation }) => violation)).toEqual([
      {
        invariant: 'drivers make progress again',
        what: 'nothing was done within 2000 ms after the last fault',
        step: 'device.stall',
        actor: 'scenario',
      },
    ]);
  });

  test('what has stalled completes when the faults are over', async () => {
    const heals: Scenario = {
      name: 'heals',
      async run(powerOn, course) {
        const backend = powerOn({ devices: [new EduDevice()] });
        const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0n }).bar(0);
        registers.write32(0x08, 5);
        course.calm();
        while (registers.read32(0x20) !== 0) await backend.clock.sleep(1);
      },
    };
    const { failures } = await exploreScenario(heals, { tags: ['device.stall', 'device.delay'] });
    expect(failures).toEqual([]);
  });

  test('a run that ends at a limit, or in which everybody waits, has a token that replays', async () => {
    for (const [name, run] of [
      [
        'spins',
        async (backend: EmulatedBackend) => {
          for (;;) await backend.clock.sleep(1000);
        },
      ],
      [
        'waits',
        async (backend: EmulatedBackend) => {
          await backend.openIrq(16).read();
        },
      ],
    ] as const) {
      const scenario: Scenario = { name, run: (powerOn) => run(powerOn()) };
      const { failures } = await exploreScenario(scenario, { strategy: new Exhaustive(0, 'delays') });
      expect(failures.map(({ violation }) => violation.invariant)).toEqual(['every run ends']);
      const token = failures[0]?.token ?? '';
      expect(parseToken(token).scenario).toBe(name);
      expect((await recordScenario(token, scenario)).violation).toEqual(failures[0]?.violation);
    }
  });
});
