import { bindDriver, PCI_COMMAND, PCI_COMMAND_MASTER } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { kernels, outcome, pattern, start } from '../../test/edu-machine.ts';
import { eduDriver } from './driver.ts';

describe('removal', () => {
  test('rejects what is pending and what queues, and gives the line and the device back', async () => {
    const { edu, backend, binding, machine } = await start();
    const pending = [edu.write(0, pattern(4096)), edu.read(0, 4096), edu.factorial(3)].map(outcome);
    await backend.clock.sleep(20);
    binding.remove();
    expect(await Promise.all(pending)).toEqual(['ECANCELED', 'ECANCELED', 'ECANCELED']);
    expect(await outcome(edu.factorial(3))).toBe('EBADF');
    binding.remove();
    edu.remove();
    expect(machine.dmaDebug.reports).toEqual([]);
    const again = await bindDriver(backend, eduDriver());
    expect(again.failed).toEqual([]);
    expect(await again.bound[0]?.instance.factorial(5)).toBe(120);
  });

  test.each(kernels)('after any number of turns of the event loop is clean ($kernel, msi $msi)', async (on) => {
    // Microtasks first, then turns: from before the device has been told anything to after the last operation.
    for (let turns = 0; ; turns++) {
      const { edu, dma, binding, device, machine, backend } = await start(on);
      const memory = dma.allocUser(4096);
      const operations = [edu.copyFromDevice(0, memory), edu.copyToDevice(0, memory), edu.factorial(3)].map(outcome);
      for (let turn = 0; turn < Math.min(turns, 40); turn++) await Promise.resolve();
      for (let turn = 40; turn < turns; turn++) await new Promise(setImmediate);
      binding.remove();
      memory.bytes.fill(0xaa);
      const results = await Promise.all(operations);
      expect(['fulfilled', 'ECANCELED']).toEqual(expect.arrayContaining(results));
      await backend.clock.sleep(500);
      expect(
        memory.bytes.every((byte) => byte === 0xaa),
        `${turns} turns`,
      ).toBe(true);
      memory.free();
      expect(machine.dmaDebug.reports.map(String)).toEqual([]);
      expect(device.errors).toEqual([]);
      if (results.every((result) => result === 'fulfilled')) break;
      expect(turns).toBeLessThan(200);
    }
  });

  test('of the driver alone leaves the device open, and off the bus', async () => {
    const { edu, dma, binding, device, machine, backend } = await start();
    using memory = dma.allocUser(8192);
    const operations = [edu.copyFromDevice(0, memory.subarray(2048, 6144)), edu.factorial(3)].map(outcome);
    await backend.clock.sleep(100);
    edu.remove();
    expect(await Promise.all(operations)).toEqual(['ECANCELED', 'ECANCELED']);
    await backend.clock.sleep(500);
    expect(binding.device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(0);
    expect(machine.dmaDebug.reports.map(String)).toEqual([]);
    expect(device.errors).toEqual([]);
  });

  test('leaves a device that was busy to the next driver, which waits for it', async () => {
    const { edu, binding, backend } = await start();
    const pending = outcome(edu.write(0, pattern(4096, 1)));
    binding.remove();
    expect(await pending).toBe('ECANCELED');
    const { bound } = await bindDriver(backend, eduDriver());
    const next = bound[0]?.instance;
    await next?.write(0, pattern(4096, 2));
    expect(await next?.read(0, 4096)).toEqual(pattern(4096, 2));
  });
});
