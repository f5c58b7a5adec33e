// The same for drivers/edu, by DMA both ways: whatever the device does, a block that comes back is the one that was sent.
import { bindDriver, type KernelProfile, SystemError } from '@usrdrv/core';
import { eduDriver } from '@usrdrv/drivers/edu';
import { EduDevice, type Scenario } from '@usrdrv/emu';
import { deviceBehaviours, faultPlans, scenarioProperty } from '@usrdrv/emu/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const block = Uint8Array.from({ length: 300 }, (_, at) => at & 0xff);

function echoes(msi: boolean): Scenario {
  return {
    name: msi ? 'edu-echoes-msi' : 'edu-echoes',
    async run(powerOn) {
      const device = new EduDevice();
      const backend = powerOn({ devices: [device] });
      const bindings = await bindDriver(backend, eduDriver({ msi }));
      for (const { error } of bindings.failed) expect(error).toBeInstanceOf(SystemError);
      for (const { instance: edu, device: opened } of bindings.bound) {
        try {
          await edu.write(0, block);
          expect(await edu.read(0, block.length)).toEqual(block);
          using memory = opened.dma.allocUser(8192);
          const straddling = memory.subarray(4096 - 100, 4096 + 100);
          await edu.copyFromDevice(0, straddling);
          expect(straddling.bytes).toEqual(block.subarray(0, 200));
        } catch (error) {
          if (!(error instanceof SystemError)) throw error;
        }
      }
      bindings[Symbol.dispose]();
      expect(device.errors).toEqual([]);
    },
  };
}

describe.each<{ kernel: KernelProfile; msi: boolean }>([
  { kernel: 'usrdrv-6.1', msi: false },
  { kernel: 'usrdrv-6.1', msi: true },
  { kernel: 'chubb-2.6.11', msi: false },
])('on $kernel, msi $msi, no wrong byte arrives and nothing stays behind', ({ kernel, msi }) => {
  const scenario = echoes(msi);
  // That no DMA goes astray and everything is given back is looked after anyway. The kernel of 2005 loses track itself
  // (D5, UD4, UD11).
  const on = kernel === 'chubb-2.6.11' ? { kernel, invariants: [] } : { kernel };

  test('however the device behaves', { timeout: 60_000 }, () =>
    fc.assert(scenarioProperty(scenario, { ...on, under: deviceBehaviours() }), { numRuns: 100 }),
  );

  test('whatever goes wrong, on either side', { timeout: 60_000 }, () =>
    fc.assert(scenarioProperty(scenario, { ...on, under: faultPlans() }), { numRuns: 100 }),
  );
});
