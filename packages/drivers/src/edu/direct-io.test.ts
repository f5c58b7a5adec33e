import { bindDriver, type KernelProfile, PCI_COMMAND, PCI_COMMAND_MASTER, SystemError } from '@usrdrv/core';
import { type ChoiceTag, calm, EduDevice, emulated, type Oracle, type Scenario } from '@usrdrv/emu';
import { faultPlans, scenarioProperty } from '@usrdrv/emu/testing';
import '@usrdrv/emu/testing/vitest';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type EduOptions, eduDriver } from './driver.ts';

const SLOT = '0000:00:04.0';
const BUFFER = 4096;

const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0).reverse()) one[Symbol.dispose]();
});

async function start(o: EduOptions & { kernel?: KernelProfile; oracle?: Oracle } = {}) {
  const { kernel = 'usrdrv-6.1', oracle = calm, ...options } = o;
  const device = new EduDevice();
  const backend = emulated({ kernel, oracle, devices: [device] });
  open.push(backend);
  const { bound, failed } = await bindDriver(backend, eduDriver(options));
  const [binding] = bound;
  if (binding === undefined) throw failed[0]?.error;
  const { instance: edu, device: opened } = binding;
  return { device, backend, machine: backend.machine, binding, edu, directIo: edu.directIo, dma: opened.dma };
}

/** Chooses 1 for the nth question of that kind (from 0), and is calm otherwise. */
function fault(tag: ChoiceTag, nth = 0): Oracle & { asked: number } {
  return {
    asked: 0,
    asksAtSteps: false,
    choose(_n, asked) {
      return asked === tag && this.asked++ === nth ? 1 : 0;
    },
  };
}

/** How often it could have happened by the time that a transfer starts. */
async function askedWhenReady(tag: ChoiceTag): Promise<number> {
  const oracle = fault(tag, Number.POSITIVE_INFINITY);
  const { dma } = await start({ oracle });
  dma.allocUser(1).free();
  return oracle.asked;
}

/** The code of what a promise rejects with, or what it resolves with. */
function outcome<T>(promise: Promise<T>): Promise<T | string> {
  return promise.catch((error) => (error instanceof SystemError ? error.code : String(error)));
}

function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 8) * 13 + seed * 31 + 1) & 0xff);
}

/** A region of memory at any alignment, and where it goes on the device. */
const region = fc.record({
  before: fc.nat(2 * BUFFER),
  length: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constantFrom(1, 4095, 4096, 4097, 8192, 12_288)),
  after: fc.nat(100),
  position: fc.oneof(fc.constant(0), fc.nat(10_000)),
});

describe.each<{ kernel: KernelProfile; msi: boolean; bufferSize: number }>([
  { kernel: 'usrdrv-6.1', msi: false, bufferSize: 4096 },
  { kernel: 'usrdrv-6.1', msi: true, bufferSize: 4095 },
  { kernel: 'chubb-2.6.11', msi: false, bufferSize: 1000 },
])('on $kernel, msi $msi, $bufferSize bytes of buffer', (on) => {
  const { bufferSize } = on;

  test('M7 whatever the size and alignment, the bytes arrive, and none beside them', { timeout: 60_000 }, async () => {
    const { directIo, dma, device, machine } = await start(on);
    await fc.assert(
      fc.asyncProperty(region, async ({ before, length, after, position }) => {
        using memory = dma.allocUser(before + length + after);
        const part = memory.subarray(before, before + length);
        const bytes = pattern(length);
        part.bytes.set(bytes);
        const model = device.buffer.slice();
        for (const [at, byte] of bytes.entries()) model[(position + at) % bufferSize] = byte;
        expect(await directIo.write(part, { position })).toBe(length);
        expect(device.buffer).toEqual(model);

        const whole = new Uint8Array(before + length + after).fill(0x55);
        memory.bytes.set(whole);
        expect(await directIo.read(part, { position })).toBe(length);
        for (let at = 0; at < length; at++) whole[before + at] = model[(position + at) % bufferSize] ?? 0;
        expect(memory.bytes).toEqual(whole);
      }),
      { numRuns: 25 },
    );
    expect(device.errors).toEqual([]);
    expect(machine).toHaveNoDmaReports();
  });

  test('a chunk is as much as the device takes, and progress is told after each', async () => {
    const { directIo, dma } = await start(on);
    using memory = dma.allocUser(10_000);
    const told: [number, number][] = [];
    await directIo.write(memory, { position: 300, onProgress: (...numbers) => told.push(numbers) });
    const ends: number[] = [];
    for (let end = bufferSize - 300; end < 10_000; end += bufferSize) ends.push(end);
    expect(told).toEqual([...ends, 10_000].map((done) => [done, 10_000]));
  });
});

test('one chunk is mapped at a time, so that a transfer may be longer than the process may lock', async () => {
  const { directIo, dma, backend } = await start();
  const limit = 16 * BUFFER;
  backend.machine.kernel.process.setrlimit('RLIMIT_MEMLOCK', limit);
  using memory = dma.allocUser(4 * limit);
  expect(() => dma.map(memory, 'to-device')).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  expect(await directIo.write(memory)).toBe(4 * limit);
});

test('transfers and the driver’s other operations queue, and are done one after the other', async () => {
  const { edu, directIo, dma } = await start();
  using one = dma.allocUser(10_000);
  using two = dma.allocUser(10_000);
  one.bytes.fill(1);
  const order: string[] = [];
  const done = (what: string) => () => order.push(what);
  await Promise.all([
    directIo.write(one).then(done('write')),
    edu.factorial(3).then(done('factorial')),
    directIo.read(two).then(done('read')),
    edu.write(0, pattern(8)).then(done('edu.write')),
  ]);
  expect(order).toEqual(['write', 'factorial', 'read', 'edu.write']);
  expect(two.bytes).toEqual(one.bytes);
});

describe('a transfer that does not come to its end', () => {
  test('stalled, it is a timeout, and the device has been stopped before its memory is handed back', async () => {
    const { directIo, dma, device, machine, backend, binding } = await start();
    using memory = dma.allocUser(3 * BUFFER);
    device.buffer.fill(0xee);
    const before = machine.clock.now;
    const masters: boolean[] = [];
    const map = dma.map.bind(dma);
    dma.map = (...args) => {
      const mapping = map(...args);
      const unmap = mapping.unmap.bind(mapping);
      mapping.unmap = () => {
        masters.push((binding.device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER) !== 0);
        unmap();
      };
      return mapping;
    };
    expect(await outcome(directIo.read(memory, { timeoutMs: 30 }))).toBe('ETIMEDOUT');
    expect((machine.clock.now - before) / 1e6).toBeLessThan(32);
    expect(masters).toEqual([false]);
    memory.bytes.fill(7);
    await backend.clock.sleep(500);
    expect(memory.bytes.every((byte) => byte === 7)).toBe(true);
    // And it goes on where the next one begins.
    expect(await directIo.read(memory)).toBe(3 * BUFFER);
    expect(memory.bytes.every((byte) => byte === 0xee)).toBe(true);
    expect(machine).toHaveNoDmaReports();
  });

  test('called off at any time, it rejects with the reason, and the next is none the worse', async () => {
    for (let ms = 0; ms <= 310; ms += 15) {
      const { directIo, dma, machine, backend } = await start();
      using memory = dma.allocUser(3 * BUFFER);
      const controller = new AbortController();
      const pending = outcome(directIo.write(memory, { signal: controller.signal }));
      await backend.clock.sleep(ms);
      controller.abort('changed my mind');
      const result = await pending;
      expect(['changed my mind', 3 * BUFFER]).toContain(result);
      memory.bytes.fill(9);
      await backend.clock.sleep(200);
      expect(await directIo.read(memory)).toBe(3 * BUFFER);
      expect(machine).toHaveNoDmaReports();
      if (ms >= 305) expect(result).toBe(3 * BUFFER);
    }
  });

  test('called off while it queues, it never reaches the device', async () => {
    const { directIo, dma, device } = await start();
    using one = dma.allocUser(BUFFER);
    using two = dma.allocUser(BUFFER);
    two.bytes.fill(2);
    const controller = new AbortController();
    const first = directIo.write(one);
    const queued = directIo.write(two, { signal: controller.signal });
    controller.abort('changed my mind');
    await expect(queued).rejects.toBe('changed my mind');
    expect(await first).toBe(BUFFER);
    expect(device.buffer.every((byte) => byte === 0)).toBe(true);
    await expect(directIo.write(two, { signal: controller.signal })).rejects.toBe('changed my mind');
  });

  test('a listener that throws ends it after its chunk', async () => {
    const { directIo, dma, device, machine } = await start();
    using memory = dma.allocUser(3 * BUFFER);
    memory.bytes.fill(1);
    const onProgress = () => {
      throw new Error('enough');
    };
    await expect(directIo.write(memory, { onProgress })).rejects.toThrow('enough');
    expect(device.buffer.every((byte) => byte === 1)).toBe(true);
    expect(await directIo.write(memory)).toBe(3 * BUFFER);
    expect(machine).toHaveNoDmaReports();
  });

  test('memory that is freed while it queues is EFAULT; while it is the device’s it cannot be freed', async () => {
    const { directIo, dma, backend } = await start();
    const one = dma.allocUser(BUFFER);
    const two = dma.allocUser(BUFFER);
    const first = directIo.write(one);
    const second = outcome(directIo.write(two));
    await backend.clock.sleep(1);
    expect(() => one.free()).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    two.free();
    expect(await first).toBe(BUFFER);
    expect(await second).toBe('EFAULT');
    expect(await outcome(directIo.write(two))).toBe('EFAULT');
  });

  test('removed with its driver, it is ECANCELED, and what is asked for afterwards EBADF', async () => {
    for (let turns = 0; turns < 60; turns += 3) {
      const { edu, directIo, dma, machine, backend, binding } = await start();
      const memory = dma.allocUser(2 * BUFFER);
      const pending = [directIo.read(memory), directIo.write(memory), edu.factorial(3)].map(outcome);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      if (turns > 40) await backend.clock.sleep(turns);
      binding.remove();
      memory.bytes.fill(0xaa);
      expect(await Promise.all(pending)).toEqual(['ECANCELED', 'ECANCELED', 'ECANCELED']);
      await backend.clock.sleep(500);
      expect(memory.bytes.every((byte) => byte === 0xaa)).toBe(true);
      expect(await outcome(directIo.read(memory))).toBe('EBADF');
      memory.free();
      expect(machine).toHaveNoDmaReports();
    }
  });
});

describe('after any single fault the memory is not the device’s any more', () => {
  test.each(['device.stall', 'dma.error', 'dma.map', 'interrupt.lost', 'alloc.fail', 'device.remove'] as const)(
    '%s, the nth time that it could happen',
    { timeout: 120_000 },
    async (tag) => {
      for (let nth = await askedWhenReady(tag); ; nth++) {
        const oracle = fault(tag, nth);
        const { directIo, dma, device, machine, backend } = await start({ oracle });
        using memory = dma.allocUser(2 * BUFFER + 1);
        const part = memory.subarray(1000, 8192);
        const results = [await outcome(directIo.write(part)), await outcome(directIo.read(part, { position: 5 }))];
        memory.bytes.fill(0xaa);
        await backend.clock.sleep(1000);
        expect(
          memory.bytes.every((byte) => byte === 0xaa),
          `${tag} ${nth}`,
        ).toBe(true);
        expect(machine).toHaveNoDmaReports();
        expect(machine.memory.pinned, `${tag} ${nth}`).toBe(0);
        expect(device.errors).toEqual([]);
        if (oracle.asked <= nth) {
          expect(results).toEqual([7192, 7192]);
          break;
        }
        if (tag === 'device.remove') {
          for (const result of results) expect([7192, 'ENODEV']).toContain(result);
          expect(results, `access ${nth}`).toContain('ENODEV');
        } else {
          // An edu that stalls stays busy for ever.
          const next = tag === 'device.stall' ? 'ETIMEDOUT' : 7192;
          expect(await outcome(directIo.write(part)), `${tag} ${nth}`).toBe(next);
        }
      }
    },
  );

  test('pulled out at any access and plugged in again, it works with the driver bound anew', async () => {
    const first = await askedWhenReady('device.remove');
    for (let nth = first; ; nth += 3) {
      const oracle = fault('device.remove', nth);
      const { directIo, dma, device, machine, backend, binding } = await start({ oracle });
      using memory = dma.allocUser(3 * BUFFER);
      const result = await outcome(directIo.read(memory));
      if (oracle.asked <= nth) {
        expect(result).toBe(3 * BUFFER);
        expect(nth).toBeGreaterThan(first + 12);
        break;
      }
      expect(result, `access ${nth}`).toBe('ENODEV');
      binding.remove();
      machine.pci.plug(device, { address: SLOT });
      using bindings = await bindDriver(backend, eduDriver());
      expect(bindings.failed).toEqual([]);
      const [again] = bindings.bound;
      expect(await again?.instance.directIo.write(memory)).toBe(3 * BUFFER);
      expect(machine).toHaveNoDmaReports();
    }
  });
});

const transfers: Scenario = {
  name: 'edu-direct-io',
  async run(powerOn) {
    const device = new EduDevice();
    const backend = powerOn({ devices: [device] });
    const bindings = await bindDriver(backend, eduDriver());
    for (const { error } of bindings.failed) expect(error).toBeInstanceOf(SystemError);
    for (const { instance: edu, device: opened } of bindings.bound) {
      try {
        const bytes = pattern(6000);
        using memory = opened.dma.allocUser(3 * BUFFER);
        const part = memory.subarray(3000, 9000);
        part.bytes.set(bytes);
        expect(await edu.directIo.write(part)).toBe(6000);
        memory.bytes.fill(0);
        expect(await edu.directIo.read(part.subarray(0, 1904))).toBe(1904);
        expect(part.bytes.subarray(0, 1904)).toEqual(bytes.subarray(BUFFER));
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
      }
    }
    bindings.remove();
    backend.close();
    expect(device.errors).toEqual([]);
    expect(backend.machine).toHaveNoDmaReports();
    expect(backend.machine).toHaveNoKernelWarnings();
    expect(backend.machine).toHaveReleasedEverything();
  },
};

test('whatever goes wrong, no wrong byte arrives and nothing stays behind', { timeout: 60_000 }, async () => {
  await fc.assert(scenarioProperty(transfers, { under: faultPlans() }), { numRuns: 60 });
});

describe('bad input', () => {
  test.each([-1, 1.5, Number.NaN, 2 ** 53, '0' as never])('a position of %s is a RangeError', async (position) => {
    const { directIo, dma, machine } = await start();
    using memory = dma.allocUser(8);
    const before = machine.clock.now;
    await expect(directIo.write(memory, { position })).rejects.toBeInstanceOf(RangeError);
    expect(machine.clock.now).toBe(before);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5' as never])('a timeout of %s too', async (timeoutMs) => {
    const { directIo, dma } = await start();
    using memory = dma.allocUser(8);
    await expect(directIo.read(memory, { timeoutMs })).rejects.toBeInstanceOf(RangeError);
  });

  test('what is no memory is a TypeError, and so is memory of another backend', async () => {
    const { directIo } = await start();
    for (const none of [undefined, null, 5, [1, 2], new Uint8Array(4)]) {
      await expect(directIo.write(none as never)).rejects.toBeInstanceOf(TypeError);
    }
    const other = await start();
    using foreign = other.dma.allocUser(16);
    await expect(directIo.read(foreign)).rejects.toBeInstanceOf(TypeError);
  });

  test.each([0, 4097, 1.5, Number.NaN, '1' as never])('a buffer size of %s is a RangeError', async (bufferSize) => {
    await expect(start({ bufferSize })).rejects.toBeInstanceOf(RangeError);
  });
});
