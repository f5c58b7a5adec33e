import { SystemError } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import type { EmulatedBackend } from '../emulated.ts';
import { faults } from './fault-plan.ts';
import { NoEndError, type PowerOn, replay, runScenario, type Scenario, ScenarioFailure } from './scenario.ts';
import { parseToken } from './token.ts';

/** A driver in a few lines, with a promise: it computes a factorial or says ETIMEDOUT, within a second. */
async function factorial(backend: EmulatedBackend, n: number, timeoutMs: number): Promise<number> {
  using device = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
  const registers = device.bar(0);
  using irq = device.irq();
  registers.write32(0x20, 0x80);
  registers.write32(0x08, n);
  if (!(await irq.poll({ timeoutMs }))) throw new SystemError('ETIMEDOUT', 'factorial');
  registers.write32(0x64, registers.read32(0x24));
  return registers.read32(0x08);
}

function scenario(run: (powerOn: PowerOn) => Promise<void>): Scenario {
  return { name: 'factorial', run };
}

const computes = scenario(async (powerOn) => {
  const backend = powerOn({ devices: [new EduDevice()] });
  expect(await factorial(backend, 5, 1000)).toBe(120);
});

/** What a run that must fail failed with. */
async function failure(run: Promise<unknown>): Promise<ScenarioFailure> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ScenarioFailure) return error;
  throw error ?? new Error('it did not fail');
}

describe('a run', () => {
  test('that is calm passes, and its token says so', async () => {
    const { token, oracle, machines } = await runScenario(computes, { kernel: 'chubb-2.6.11' });
    expect(token).toBe('emu1:chubb-2.6.11:factorial:0');
    expect(oracle.asked).toBeGreaterThan(20);
    expect(machines.map(({ kernel }) => kernel.processes.size)).toEqual([0]);
    await replay(token, computes);
  });

  test('that fails has a token, which fails in the same way, at the same time, twice', async () => {
    const first = await failure(runScenario(computes, { oracle: faults([{ tag: 'device.stall' }]) }));
    expect(first.cause).toMatchObject({ code: 'ETIMEDOUT' });
    expect(first.message).toMatch(/^factorial: ETIMEDOUT: /);
    expect(first.message).toContain('\n  after device.stall: the 1st time\n');
    expect(first.message).toContain(`replay('${first.token}'`);
    for (let time = 0; time < 2; time++) {
      const again = await failure(replay(first.token, computes));
      expect(again.message).toBe(first.message);
      expect(again.run.oracle.tags).toEqual(first.run.oracle.tags);
      expect(again.run.machines[0]?.clock.now).toBe(first.run.machines[0]?.clock.now);
    }
  });

  test('replays to the same events, whatever went wrong', async () => {
    const survives = scenario(async (powerOn) => {
      const backend = powerOn({ devices: [new EduDevice()] });
      await factorial(backend, 5, 1000).catch((error) => expect(error).toBeInstanceOf(SystemError));
    });
    for (const tag of ['alloc.fail', 'interrupt.lost', 'device.remove', 'step.signal', 'interrupt.spurious'] as const) {
      for (const nth of [1, 2, 5, 13]) {
        const run = await runScenario(survives, { oracle: faults([{ tag, nth }]), trace: true });
        const again = await replay(run.token, survives, { trace: true });
        expect(again.machines[0]?.trace.events).toEqual(run.machines[0]?.trace.events);
      }
    }
  });

  test('in which everybody waits for ever is ended, and says so', async () => {
    const waits = scenario(async (powerOn) => {
      await factorial(powerOn({ devices: [new EduDevice()] }), 5, Number.POSITIVE_INFINITY);
    });
    const stuck = await failure(runScenario(waits, { oracle: faults([{ tag: 'interrupt.lost' }]) }));
    expect(stuck.cause).toBeInstanceOf(NoEndError);
    expect(stuck.message).toContain('nobody can go on: 1 wait');
    expect((await failure(replay(stuck.token, waits))).message).toBe(stuck.message);
    expect(stuck.run.machines[0]?.kernel.processes.size).toBe(0);
  });

  test('that waits for what is no machine is ended too', async () => {
    const stuck = await failure(runScenario(scenario(() => new Promise(() => {}))));
    expect(stuck.message).toContain('nobody can go on');
  });

  test('that goes on for ever is ended by its virtual time', async () => {
    const sleeps = scenario(async (powerOn) => {
      const backend = powerOn();
      for (;;) await backend.clock.sleep(1000);
    });
    expect((await failure(runScenario(sleeps))).message).toContain('within 60000 ms');
    expect((await failure(runScenario(sleeps, { limitMs: 5000 }))).message).toContain('within 5000 ms');
  });

  test('that asks for ever without waiting is ended by its choices', { timeout: 30_000 }, async () => {
    const spins = scenario(async (powerOn) => {
      const backend = powerOn({ devices: [new EduDevice()] });
      const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0n }).bar(0);
      while (registers.read32(0x24) === 0);
    });
    const ended = await failure(runScenario(spins));
    expect(ended.message).toContain('choices');
    expect(parseToken(ended.token).tape.size).toBe(0);
    const polite = scenario(async (powerOn) => {
      const backend = powerOn({ devices: [new EduDevice()] });
      const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0n }).bar(0);
      while (registers.read32(0x24) === 0) await backend.clock.sleep(0);
    });
    expect((await failure(runScenario(polite, { limitChoices: 1000 }))).message).toContain('within 1000 choices');
  });

  test('that cannot be closed has failed', async () => {
    const leaves = scenario(async (powerOn) => {
      const backend = powerOn();
      Object.assign(backend, {
        close: () => {
          throw new Error('it hangs on');
        },
      });
    });
    expect((await failure(runScenario(leaves))).message).toContain('it hangs on');
  });

  test('of a scenario whose name no token can hold is refused', async () => {
    await expect(runScenario({ name: 'a b', run: async () => {} })).rejects.toThrow(RangeError);
  });
});

describe('replay', () => {
  test('refuses what is no token, and another scenario’s', async () => {
    await expect(replay('emu1:x', computes)).rejects.toThrow(TypeError);
    await expect(replay('emu1:usrdrv-6.1:other:0', computes)).rejects.toThrow('a run of other');
  });

  test('says when the program is not the one that was recorded any more', async () => {
    await expect(replay('emu1:usrdrv-6.1:factorial:zzzz', computes)).rejects.toThrow('does not happen any more');
  });
});
