import { bindDriver } from '@usrdrv/core';
import { EduDevice, emulated } from '@usrdrv/emu';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boot, fault, kernels, outcome, pattern, SLOT, start } from '../../test/edu-machine.ts';
import { eduDriver } from './driver.ts';

describe.each(kernels)('on $kernel, msi $msi', (on) => {
  test('computes every factorial that fits, by an interrupt each', async () => {
    const { edu } = await start(on);
    const results: number[] = [];
    for (let n = 0; n <= 12; n++) results.push(await edu.factorial(n));
    expect(results).toEqual([1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600]);
    expect(edu.interrupts).toBe(13);
  });

  test('what is written at any place of the buffer comes back, and the rest of the buffer stays', async () => {
    const { edu, device } = await start(on);
    const range = fc
      .nat(4096)
      .chain((offset) => fc.tuple(fc.constant(offset), fc.uint8Array({ maxLength: 4096 - offset })));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, bytes]) => {
        const before = device.buffer.slice();
        await edu.write(offset, bytes);
        expect(device.buffer.subarray(offset, offset + bytes.length)).toEqual(bytes);
        expect(await edu.read(offset, bytes.length)).toEqual(bytes);
        before.set(bytes, offset);
        expect(device.buffer).toEqual(before);
      }),
      { numRuns: 30 },
    );
    expect(device.errors).toEqual([]);
  });

  test('user memory that lies across two pages goes to the device and comes back, without a copy', async () => {
    const { edu, dma, device, machine } = await start(on);
    using memory = dma.allocUser(3 * 4096);
    const part = memory.subarray(4096 - 100, 4096 + 2000);
    const bytes = pattern(2100);
    part.bytes.set(bytes);
    await edu.copyToDevice(1996, part);
    expect(device.buffer.subarray(1996)).toEqual(bytes);
    device.buffer.reverse();
    await edu.copyFromDevice(0, part);
    expect(part.bytes).toEqual(bytes.reverse());
    expect(machine.dmaDebug.reports).toEqual([]);
  });

  test('operations asked for together are done one after the other, in order', async () => {
    const { edu } = await start(on);
    const results = await Promise.all([
      edu.write(0, pattern(4096, 1)),
      edu.read(0, 4096),
      edu.factorial(5),
      edu.write(0, pattern(4096, 2)),
      edu.read(0, 4096),
    ]);
    expect(results).toEqual([undefined, pattern(4096, 1), 120, undefined, pattern(4096, 2)]);
    expect(edu.interrupts).toBe(5);
  });

  test('a device that stalls is a timeout, and so is every operation after it', async () => {
    const { edu, device, now } = await start(on);
    device.stalled = true;
    const before = now();
    expect(await outcome(edu.write(0, pattern(8), { timeoutMs: 500 }))).toBe('ETIMEDOUT');
    expect(now() - before).toBeGreaterThanOrEqual(500);
    expect(now() - before).toBeLessThan(510);
    expect(await outcome(edu.factorial(3))).toBe('ETIMEDOUT');
  });

  test('U2 after a timeout the memory is the caller’s: a device that wakes up late does not touch it', async () => {
    const { edu, dma, device, machine, backend } = await start(on);
    using memory = dma.allocUser(4096);
    device.buffer.fill(0xee);
    expect(await outcome(edu.copyFromDevice(0, memory, { timeoutMs: 10 }))).toBe('ETIMEDOUT');
    const mine = pattern(4096);
    memory.bytes.set(mine);
    await backend.clock.sleep(200);
    expect(memory.bytes).toEqual(mine);
    expect(machine.dmaDebug.reports).toEqual([]);
    // And the completion that came late is not taken for the next one's.
    const interrupts = edu.interrupts;
    await edu.copyFromDevice(0, memory);
    expect(memory.bytes).toEqual(new Uint8Array(4096).fill(0xee));
    expect(edu.interrupts - interrupts).toBeLessThanOrEqual(2);
  });

  test('an operation that is called off rejects with the reason, and the next is none the worse', async () => {
    const { edu, dma, machine, backend } = await start(on);
    using memory = dma.allocUser(4096);
    const controller = new AbortController();
    const calledOff = edu.copyToDevice(0, memory, { signal: controller.signal });
    await backend.clock.sleep(50);
    controller.abort('changed my mind');
    await expect(calledOff).rejects.toBe('changed my mind');
    memory.bytes.fill(1);
    const bytes = pattern(4096);
    await edu.write(0, bytes);
    expect(await edu.read(0, 4096)).toEqual(bytes);
    expect(machine.dmaDebug.reports).toEqual([]);
  });

  test('an operation that is called off while it queues never reaches the device', async () => {
    const { edu, device } = await start(on);
    const controller = new AbortController();
    const first = edu.write(0, pattern(4096, 1));
    const queued = edu.write(0, pattern(4096, 2), { signal: controller.signal });
    controller.abort('changed my mind');
    await expect(queued).rejects.toBe('changed my mind');
    await first;
    expect(device.buffer).toEqual(pattern(4096, 1));
    await expect(edu.factorial(1, { signal: controller.signal })).rejects.toBe('changed my mind');
  });

  test('a factorial that is called off is not taken for the next one', async () => {
    const { edu, backend } = await start(on);
    const controller = new AbortController();
    const calledOff = edu.factorial(12, { signal: controller.signal });
    controller.abort('no');
    await expect(calledOff).rejects.toBe('no');
    await backend.clock.sleep(1);
    expect(await edu.factorial(4)).toBe(24);
  });

  test('a lost interrupt costs time, not the operation: the device says that it is done', async () => {
    const { edu, now } = await start({ ...on, oracle: fault('interrupt.lost') });
    const before = now();
    await edu.write(0, pattern(8), { timeoutMs: 300 });
    expect(now() - before).toBeGreaterThanOrEqual(300);
    expect(await edu.read(0, 8)).toEqual(pattern(8));
  });

  test('an interrupt that the device did not raise ends nothing', async () => {
    const { edu, machine, backend } = await start(on);
    // The first MSI vector, or the line of the first slot.
    const irq = on.msi ? 24 : 16;
    const written = edu.write(0, pattern(4096));
    for (let times = 0; times < 3; times++) {
      await backend.clock.sleep(10);
      machine.cpus.boot.request(irq);
      machine.kick();
    }
    await written;
    expect(await edu.read(0, 4096)).toEqual(pattern(4096));
    expect(edu.interrupts).toBe(5);
  });

  test('an interrupt for something else is acknowledged, and ends nothing', async () => {
    const { edu, device, backend } = await start(on);
    const written = edu.write(0, pattern(4096));
    await backend.clock.sleep(10);
    device.raise(0x8000_0006);
    await written;
    expect(await edu.factorial(6)).toBe(720);
  });

  test('a transfer that the bus refuses is EIO, and the next one works', async () => {
    const { edu, dma } = await start({ ...on, oracle: fault('dma.error', 1) });
    await edu.write(0, pattern(16));
    expect(await outcome(edu.read(0, 16))).toBe('EIO');
    expect(await edu.read(0, 16)).toEqual(pattern(16));
    using memory = dma.allocUser(16);
    await edu.copyFromDevice(0, memory);
    expect(memory.bytes).toEqual(pattern(16));
  });

  test('a device that is pulled out is ENODEV, for what is pending and for all that comes after', async () => {
    const { edu, machine, backend, binding } = await start(on);
    const pending = outcome(edu.write(0, pattern(4096)));
    const queued = outcome(edu.factorial(3));
    await backend.clock.sleep(20);
    machine.pci.unplug(SLOT);
    expect(await pending).toBe('ENODEV');
    expect(await queued).toBe('ENODEV');
    expect(await outcome(edu.read(0, 1))).toBe('ENODEV');
    binding.remove();
    expect(await outcome(edu.read(0, 1))).toBe('EBADF');
  });

  test('wherever the device is pulled out, nothing but ENODEV comes of it', async () => {
    // Before the driver has it: the bus is scanned without it, or it offers no vectors any more.
    const allowed = ['ENODEV', 'ENOENT', 'ENOSPC', 'nothing bound'];
    for (let nth = 0; ; nth++) {
      const oracle = fault('device.remove', nth);
      const { backend, machine } = boot({ ...on, oracle });
      const use = async () => {
        using bindings = await bindDriver(backend, eduDriver(on));
        const [binding] = bindings.bound;
        if (binding === undefined) throw bindings.failed[0]?.error ?? 'nothing bound';
        using memory = binding.device.dma.allocUser(100);
        await binding.instance.factorial(3);
        await binding.instance.copyToDevice(0, memory);
        await binding.instance.read(0, 100);
      };
      const result = await outcome(use());
      expect(machine.dmaDebug.reports.map(String)).toEqual([]);
      if (oracle.asked <= nth) {
        expect(result).toBe('fulfilled');
        break;
      }
      // Pulled out by the very last accesses, it has done everything that it was asked for.
      if (result !== 'fulfilled') expect(allowed, `access ${nth}`).toContain(result);
    }
  });
});

describe.each([
  { machine: 'an 8259', options: { interrupts: '8259' } },
  { machine: 'an 8259 and the kernel of 2005', options: { interrupts: '8259', kernel: 'chubb-2.6.11' } },
  { machine: 'one processor', options: { processors: 1 } },
  { machine: 'no IOMMU, and more memory than 28 bits reach', options: { iommu: false, memory: 2 ** 32 } },
  { machine: 'no IOMMU and the kernel of 2005', options: { iommu: false, kernel: 'chubb-2.6.11' } },
] as const)('on a machine with $machine', ({ options }) => {
  test('a page goes to the device and comes back, from consistent and from user memory', async () => {
    using backend = emulated({ ...options, devices: [new EduDevice()] });
    using bindings = await bindDriver(backend, eduDriver());
    const [binding] = bindings.bound;
    if (binding === undefined) throw bindings.failed[0]?.error;
    const { instance: edu, device } = binding;
    const bytes = pattern(4096);
    await edu.write(0, bytes);
    expect(await edu.read(0, 4096)).toEqual(bytes);
    using memory = device.dma.allocUser(3 * 4096);
    const part = memory.subarray(1000, 5096);
    await edu.copyFromDevice(0, part);
    expect(part.bytes).toEqual(bytes);
    part.bytes.reverse();
    await edu.copyToDevice(0, part);
    expect(await edu.read(0, 4096)).toEqual(bytes.reverse());
    expect(backend.machine.dmaDebug.reports.map(String)).toEqual([]);
  });
});

test.each(['usrdrv-6.1', 'chubb-2.6.11'] as const)('P13 a line that is stuck ends nothing, on %s', async (kernel) => {
  const { edu, machine } = await start({ kernel });
  machine.line(16).raise({});
  machine.kick();
  await edu.write(0, pattern(4096));
  expect(await edu.read(0, 4096)).toEqual(pattern(4096));
  // A pause after each: 200 ms of DMA take about as many interrupts, not millions.
  expect(edu.interrupts).toBeLessThan(250);
});

test('a device that stalls is noticed on a line that is stuck, too', async () => {
  const { edu, machine, device } = await start();
  machine.line(16).raise({});
  machine.kick();
  device.stalled = true;
  expect(await outcome(edu.write(0, pattern(16), { timeoutMs: 50 }))).toBe('ETIMEDOUT');
});
