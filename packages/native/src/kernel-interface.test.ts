import { existsSync, readdirSync } from 'node:fs';
import { SystemError } from '@usrdrv/core';
import { describe, expect } from 'vitest';
import { hostKernel, test } from './addon.fixture.ts';
import { irqPath, kernelInterface, linuxFiles } from './kernel-interface.ts';
import { LinuxKernel } from './linux-kernel.ts';
import { RealtimeIrq, setScheduler } from './realtime.ts';
import { usrdrvBackend } from './usrdrv-backend.ts';

/** Whether these tests run where devices can be driven: then it is not theirs to try. */
const onHost = kernelInterface() === 'none' ? test : test.skip;

describe('the kernel’s interface', () => {
  test('with the module the irq files are in /dev/usrdrv', () => {
    expect(irqPath('module', '/proc/irq/16/irq')).toBe('/dev/usrdrv/irq/16');
    for (const other of ['/proc/irq/016/irq', '/proc/irq/16/irq/', '/proc/irq/16', '/x/proc/irq/16/irq', '']) {
      expect(irqPath('module', other)).toBe(other);
    }
    expect(irqPath('system-calls', '/proc/irq/16/irq')).toBe('/proc/irq/16/irq');
    expect(linuxFiles('module').existsSync('/proc/irq/16/irq')).toBe(existsSync('/dev/usrdrv/irq/16'));
  });

  onHost('a kernel without it has no backend, and the error says what is missing', () => {
    expect(kernelInterface()).toBe('none');
    expect(() => usrdrvBackend()).toThrow(SystemError);
    expect(() => usrdrvBackend()).toThrow(/ENOSYS.*\/proc\/irq\/N\/irq.*\/dev\/usrdrv\/pci/);
  });

  onHost('where the module was loaded and is no more, its calls are the open’s error', () => {
    using kernel = new LinuxKernel('module');
    expect(kernel.process.thread.usrPciOpen(0, 3, 0, 0n)).toBe(-2);
  });

  onHost('an irq file that is not there is the open’s error too', () => {
    expect(() => new RealtimeIrq(16)).toThrow(/ENOENT.*\/proc\/irq\/16\/irq/);
    expect(() => new RealtimeIrq(-1)).toThrow(RangeError);
    expect(() => setScheduler(77)).toThrow(/EINVAL/);
  });

  test('files and time are the machine’s own', async () => {
    const kernel = hostKernel();
    expect(kernel.files.readdirSync('/proc/irq')).toEqual(readdirSync('/proc/irq'));
    expect(() => kernel.files.readFileSync('/nowhere/file')).toThrow(/ENOENT/);
    const start = kernel.clock.now();
    await kernel.clock.sleep(2.5);
    expect(Number(kernel.clock.now() - start)).toBeGreaterThanOrEqual(2.5e6);
    const reason = new Error('enough');
    await expect(kernel.clock.sleep(1e9, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    const sleep = kernel.clock.sleep(1e9, { signal: abort.signal });
    abort.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(kernel.clock.sleep(ms)).rejects.toThrow(RangeError);
    }
  });
});
