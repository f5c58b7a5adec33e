import { bindDriver, userModeBackend } from '@usrdrv/core';
import { EduDevice, Machine } from '@usrdrv/emu';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boot, code, fault, open, outcome, SLOT, start } from '../../test/edu-machine.ts';
import { eduDriver } from './driver.ts';

describe('bad input', () => {
  const notAByteCount = fc.oneof(
    fc.integer({ max: -1 }),
    fc.integer({ min: 4097 }),
    fc.double({ noInteger: true }),
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53, -0.5),
  );

  test('offsets and lengths that leave the buffer reach nothing: a RangeError', async () => {
    const { edu, device, dma, now } = await start();
    using memory = dma.allocUser(4096);
    const before = now();
    const refused = async (promise: Promise<unknown>) => expect(promise).rejects.toBeInstanceOf(RangeError);
    await fc.assert(
      fc.asyncProperty(notAByteCount, fc.integer({ min: 1, max: 4096 }), async (bad, good) => {
        await refused(edu.write(bad, new Uint8Array(1)));
        await refused(edu.read(bad, 0));
        await refused(edu.read(0, bad));
        await refused(edu.copyToDevice(bad, memory));
        await refused(edu.copyFromDevice(bad, memory));
        await refused(edu.read(good, 4097 - good));
        await refused(edu.write(4097 - good, new Uint8Array(good)));
        await refused(edu.copyToDevice(good, memory));
      }),
    );
    expect(now()).toBe(before);
    expect(device.errors).toEqual([]);
  });

  test.each([-1, 13, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, '3' as never])(
    'factorial(%s) is a RangeError',
    async (n) => {
      const { edu } = await start();
      await expect(edu.factorial(n)).rejects.toBeInstanceOf(RangeError);
    },
  );

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5' as never])(
    'a timeout of %s is a RangeError',
    async (timeoutMs) => {
      const { edu } = await start();
      await expect(edu.factorial(3, { timeoutMs })).rejects.toBeInstanceOf(RangeError);
    },
  );

  test('bytes that are none are a TypeError', async () => {
    const { edu } = await start();
    await expect(edu.write(0, [1, 2] as never)).rejects.toBeInstanceOf(TypeError);
    for (const none of [undefined, null, 5, [1, 2], new Uint8Array(4)]) {
      await expect(edu.copyToDevice(0, none as never)).rejects.toBeInstanceOf(TypeError);
      await expect(edu.copyFromDevice(0, none as never)).rejects.toBeInstanceOf(TypeError);
    }
  });

  test('memory of another backend is a TypeError, freed memory an error, and neither stops the driver', async () => {
    const { edu, dma } = await start();
    const other = await start();
    using foreign = other.dma.allocUser(16);
    await expect(edu.copyToDevice(0, foreign)).rejects.toBeInstanceOf(TypeError);
    const freed = dma.allocUser(16);
    freed.free();
    expect(await outcome(edu.copyToDevice(0, freed))).toBe('EFAULT');
    expect(await edu.factorial(3)).toBe(6);
  });
});

describe('probe', () => {
  test('refuses a device that is no edu, and lets it go', async () => {
    const device = new (class extends EduDevice {
      override read(offset: number, width: 1 | 2 | 4): number {
        return offset === 0 ? 0x0100_00ee : super.read(offset, width);
      }
    })();
    const machine = new Machine({ devices: [device] });
    const backend = userModeBackend(machine.kernel);
    open.push(machine.kernel, backend);
    const { bound, failed } = await bindDriver(backend, eduDriver());
    expect(bound).toEqual([]);
    expect(failed.map(({ error }) => code(error))).toEqual(['ENODEV']);
    backend.pci.open(SLOT, { dmaMask: 0xfff_ffffn }).close();
  });

  test('refuses a device that does not answer', async () => {
    const device = new (class extends EduDevice {
      override read(offset: number, width: 1 | 2 | 4): number {
        return offset === 4 ? 0 : super.read(offset, width);
      }
    })();
    const machine = new Machine({ devices: [device] });
    const backend = userModeBackend(machine.kernel);
    open.push(machine.kernel, backend);
    const { failed } = await bindDriver(backend, eduDriver());
    expect(failed.map(({ error }) => code(error))).toEqual(['EIO']);
  });

  test('without MSI, asking for it is ENOSYS', async () => {
    const { backend } = boot({ kernel: 'chubb-2.6.11' });
    const { failed } = await bindDriver(backend, eduDriver({ msi: true }));
    expect(failed.map(({ error }) => code(error))).toEqual(['ENOSYS']);
  });

  test('wherever an allocation fails, everything is given back', async () => {
    for (let nth = 0; ; nth++) {
      const { backend } = boot({ oracle: fault('alloc.fail', nth) });
      const { bound, failed } = await bindDriver(backend, eduDriver());
      if (failed.length === 0) {
        expect(bound.map(({ function: { address } }) => `${address}`)).toEqual([SLOT]);
        break;
      }
      expect(failed.map(({ error }) => code(error))).toEqual(['ENOMEM']);
      const again = await bindDriver(backend, eduDriver());
      expect(again.failed).toEqual([]);
      expect(await again.bound[0]?.instance.factorial(3)).toBe(6);
    }
  });
});
