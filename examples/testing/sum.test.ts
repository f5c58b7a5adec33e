// How to test a driver of one's own: the driver of examples/toy, on a machine where everything that can go wrong does.
import { bindDriver, type KernelProfile, SystemError } from '@usrdrv/core';
import { faults, replay, runScenario, type Scenario } from '@usrdrv/emu';
import { scenarioProperty, tapes } from '@usrdrv/emu/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sumDevice } from '../toy/device.ts';
import { sumDriver } from '../toy/driver.ts';

const bytes = Uint8Array.from({ length: 5000 }, (_, at) => at % 7);
const right = bytes.reduce((total, byte) => total + byte, 0);

/** What the driver promises: a sum is right, or a SystemError says why there is none; and nothing stays behind. */
const sums: Scenario = {
  name: 'sums',
  async run(powerOn) {
    const backend = powerOn({ devices: [sumDevice] });
    const bindings = await bindDriver(backend, sumDriver);
    for (const { error } of bindings.failed) expect(error).toBeInstanceOf(SystemError);
    for (const { instance } of bindings.bound) {
      const sum = await instance.sum(bytes).catch((error: unknown) => error);
      if (!(sum instanceof SystemError)) expect(sum).toBe(right);
    }
    bindings[Symbol.dispose]();
  },
};

/** That no DMA goes astray and everything is given back is looked after anyway. The kernel of 2005 loses track itself (D5, UD4, UD11). */
const on = {
  'usrdrv-6.1': { kernel: 'usrdrv-6.1' },
  'chubb-2.6.11': { kernel: 'chubb-2.6.11', invariants: [] },
} as const;

describe.each<KernelProfile>(['usrdrv-6.1', 'chubb-2.6.11'])('on %s the driver keeps its promise', (kernel) => {
  test('when all is well', () => runScenario(sums, on[kernel]));

  test.each([
    { tag: 'device.stall' },
    { tag: 'interrupt.lost' },
    { tag: 'dma.error', nth: 2 },
    { tag: 'step.signal', step: 'schedule' },
    { tag: 'alloc.fail', nth: 3 },
    { tag: 'device.remove', nth: 20 },
  ] as const)('when this goes wrong: %j', async (fault) => {
    const oracle = faults([fault]);
    await runScenario(sums, { ...on[kernel], oracle });
    expect(oracle.unused).toEqual([]);
  });

  test('whatever goes wrong', { timeout: 60_000 }, () =>
    fc.assert(scenarioProperty(sums, on[kernel]), { numRuns: 300 }),
  );

  test('whichever way each choice goes', { timeout: 60_000 }, () =>
    fc.assert(scenarioProperty(sums, { ...on[kernel], under: tapes() }), { numRuns: 300 }),
  );
});

test('a token has its run again: here, one in which the second transfer fails on the bus', async () => {
  const { token } = await runScenario(sums, { oracle: faults([{ tag: 'dma.error', nth: 2 }]) });
  const { machines } = await replay(token, sums, { trace: true });
  const refused = machines[0]?.trace.events.filter(({ detail }) => detail.endsWith('refused'));
  expect(refused).toHaveLength(1);
});
