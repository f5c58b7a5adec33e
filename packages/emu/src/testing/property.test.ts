import { type PciDevice, SystemError } from '@usrdrv/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EduDevice, replay, type Scenario, ScenarioFailure } from '../index.ts';
import { tapes } from './arbitraries.ts';
import { scenarioProperty } from './property.ts';

/** A factorial by interrupt, of a driver that trusts the interrupt to mean that the device is done. */
async function trusting(device: PciDevice, n: number): Promise<number> {
  const registers = device.bar(0);
  using irq = device.irq();
  registers.write32(0x20, 0x80);
  registers.write32(0x08, n);
  if (!(await irq.poll({ timeoutMs: 1000 }))) throw new SystemError('ETIMEDOUT', 'factorial');
  registers.write32(0x64, registers.read32(0x24));
  return registers.read32(0x08);
}

/** And of one that asks. */
async function careful(device: PciDevice, n: number): Promise<number> {
  const registers = device.bar(0);
  using irq = device.irq();
  registers.write32(0x20, 0x80);
  registers.write32(0x08, n);
  for (;;) {
    const fired = await irq.poll({ timeoutMs: 1000 });
    irq.tryRead();
    const cause = registers.read32(0x24);
    registers.write32(0x64, cause);
    if (cause === 0xffff_ffff) throw new SystemError('ENODEV', 'factorial');
    if ((cause & 1) !== 0) return registers.read32(0x08);
    if (!fired) throw new SystemError('ETIMEDOUT', 'factorial');
  }
}

/** It computes 5!, or says in a SystemError why not: never anything else. */
function computes(factorial: (device: PciDevice, n: number) => Promise<number>): Scenario {
  return {
    name: 'factorial',
    async run(powerOn) {
      const backend = powerOn({ devices: [new EduDevice()] });
      try {
        using device = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
        const result = await factorial(device, 5);
        if (result !== 0xffff_ffff) expect(result).toBe(120);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
      }
    },
  };
}

const BROKEN = { seed: 3, numRuns: 2000 };

test('a driver that trusts its interrupt is caught by a spurious one, and the token of the smallest plan replays', {
  timeout: 60_000,
}, async () => {
  const scenario = computes(trusting);
  const details = await fc.check(scenarioProperty(scenario), BROKEN);
  expect(details.counterexample?.[0]).toEqual([{ tag: 'interrupt.spurious', nth: expect.any(Number) }]);
  const { errorInstance: failure } = details;
  if (!(failure instanceof ScenarioFailure)) throw failure;
  expect(failure.message).toContain('after interrupt.spurious: ');
  await expect(fc.assert(scenarioProperty(scenario), BROKEN)).rejects.toThrow(
    expect.objectContaining({ cause: expect.objectContaining({ token: failure.token }) }),
  );
  await expect(replay(failure.token, scenario)).rejects.toThrow(failure.message);
});

test('it is caught by a schedule too, and its token replays', { timeout: 60_000 }, async () => {
  const scenario = computes(trusting);
  const details = await fc.check(scenarioProperty(scenario, { under: tapes({ length: 200 }) }), BROKEN);
  const { errorInstance: failure } = details;
  if (!(failure instanceof ScenarioFailure)) throw failure;
  expect(failure.run.oracle.taken.map(({ tag }) => tag)).toEqual(['interrupt.spurious']);
  await expect(replay(failure.token, scenario)).rejects.toThrow(failure.message);
});

test.each(['usrdrv-6.1', 'chubb-2.6.11'] as const)(
  'a driver that asks holds on %s',
  { timeout: 60_000 },
  async (kernel) => {
    await fc.assert(scenarioProperty(computes(careful), { kernel }), { numRuns: 300 });
    await fc.assert(scenarioProperty(computes(careful), { kernel, under: tapes({ length: 200 }) }), { numRuns: 300 });
  },
);

test('each run has a machine of its own', async () => {
  const times: number[] = [];
  const scenario: Scenario = {
    name: 'fresh',
    async run(powerOn) {
      times.push(powerOn().machine.clock.now);
    },
  };
  await fc.assert(scenarioProperty(scenario), { numRuns: 10 });
  expect(times).toEqual(Array(10).fill(0));
});
