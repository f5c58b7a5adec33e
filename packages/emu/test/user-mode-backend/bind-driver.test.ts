import { bindDriver, defineDriver } from '@usrdrv/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EmulatedBackend } from '../../src/index.ts';
import { DMA_MASK, EDU, EduMachine, PROFILES } from './edu-machine.ts';

describe.each(PROFILES)('bindDriver on %s', (kernel) => {
  let machine: EduMachine;
  let backend: EmulatedBackend;
  beforeEach(() => {
    machine = new EduMachine(kernel);
    backend = machine.backend;
  });
  afterEach(() => backend.close());

  test('probes what matches; removing stops the driver and closes the device, once', async () => {
    const calls: string[] = [];
    const driver = defineDriver({
      name: 'test',
      match: [{ vendorId: 0x1234, classCode: 0x00ff00, classMask: 0xffff00 }],
      dmaMask: DMA_MASK,
      probe: (device, { function: found, clock }) => {
        calls.push(`probe ${found.address} ${typeof clock.now()}`);
        return device.bar(0);
      },
      remove: (registers) => calls.push(`remove ${registers.read32(0)}`),
    });
    const bindings = await bindDriver(backend, driver);
    expect(bindings.failed).toEqual([]);
    expect(bindings.bound.map(({ instance }) => instance.length)).toEqual([0x10_0000]);
    bindings.remove();
    bindings[Symbol.dispose]();
    expect(calls).toEqual([`probe ${EDU} bigint`, `remove ${0x0100_00ed}`]);
    machine.open().close();
  });

  test('a probe that fails closes its device, and is reported', async () => {
    const failure = new Error('not mine');
    const driver = defineDriver({
      name: 'test',
      match: [{}],
      dmaMask: DMA_MASK,
      probe: () => Promise.reject(failure),
    });
    const { bound, failed } = await bindDriver(backend, driver);
    expect(bound).toEqual([]);
    expect(failed.map(({ error }) => error)).toEqual([failure]);
    using device = machine.open();
    const again = await bindDriver(backend, driver);
    expect(again.failed).toMatchObject([{ error: { code: 'EBUSY', path: `${device.address}` } }]);
  });

  test('a driver that does not match is not asked', async () => {
    const probe = () => expect.fail('probed');
    for (const match of [{ vendorId: 0x1235 }, { deviceId: 1 }, { classCode: 0x010802 }]) {
      const { bound, failed } = await bindDriver(backend, { name: 'test', match: [match], dmaMask: 0n, probe });
      expect([bound, failed]).toEqual([[], []]);
    }
  });
});
