// DirectIo over a device that takes whole scatterlists and comes to an end: a tape.
import { type Clock, DirectIo, type DirectIoDevice, type PciDevice, SystemError } from '@usrdrv/core';
import { type DeviceModel, emulated, type Oracle, type Timer } from '../../src/index.ts';
import '../../src/testing/vitest.ts';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';

const TAPE = 30_000;
const SLOT = '0000:00:04.0';
// Registers of 32 bits. From LIST on: an address of 64 bits and a length of 32 for each entry, 16 bytes apart.
const [CONTROL, DONE, MOVED, POSITION, COUNT, LIST] = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x40];
const [STOP, READ, WRITE] = [0, 1, 2];

const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0).reverse()) one[Symbol.dispose]();
});

/** A byte a microsecond, in runs of up to `entries` entries. */
function tapeDevice(tape: Uint8Array, runs: number[][]): DeviceModel {
  return {
    name: 'tape',
    config: { vendorId: 0x1234, deviceId: 0x7a9e, classCode: 0xff0000, interruptPin: 1 },
    bars: [{ size: 4096 }],
    attach(bus) {
      const registers = new DataView(new ArrayBuffer(4096));
      let work: Timer | undefined;
      const get = (offset: number) => registers.getUint32(offset, true);
      function run(control: number) {
        let at = get(POSITION);
        for (let entry = LIST; entry < LIST + 16 * get(COUNT); entry += 16) {
          const part = tape.subarray(at, at + get(entry + 8));
          const address = registers.getBigUint64(entry, true);
          if (control === READ) bus.dmaWrite(address, part);
          else bus.dmaRead(address, part);
          at += part.length;
        }
        registers.setUint32(MOVED, at - get(POSITION), true);
        registers.setUint32(DONE, 1, true);
        bus.raiseInterrupt();
      }
      return {
        read: (offset) => get(offset),
        write(offset, value) {
          registers.setUint32(offset, value, true);
          if (offset === DONE && value === 0) bus.lowerInterrupt();
          if (offset !== CONTROL) return;
          work?.cancel();
          if (value === STOP) return;
          const lengths = Array.from({ length: get(COUNT) }, (_, entry) => get(LIST + 16 * entry + 8));
          runs.push(lengths);
          work = bus.after(1000 * lengths.reduce((sum, length) => sum + length, 0), () => run(value));
        },
      };
    },
  };
}

function tapeIo(device: PciDevice, clock: Clock, o: Partial<DirectIoDevice> = {}): DirectIo {
  const registers = device.bar(0);
  const irq = device.irq();
  return new DirectIo({
    name: `${device.address}`,
    dma: device.dma,
    clock,
    maxSegments: 3,
    maxTransfer(position) {
      if (position > TAPE) throw new RangeError(`the tape has ${TAPE} bytes`);
      return 10_000;
    },
    start({ direction, position, segments }) {
      registers.write32(POSITION, position);
      registers.write32(COUNT, segments.length);
      for (const [entry, { busAddress, length }] of segments.entries()) {
        registers.write64(LIST + 16 * entry, busAddress);
        registers.write32(LIST + 16 * entry + 8, length);
      }
      registers.write32(CONTROL, direction === 'from-device' ? READ : WRITE);
    },
    async wait(o) {
      if (await irq.poll(o)) irq.tryRead();
      if (registers.read32(DONE) !== 1) return undefined;
      registers.write32(DONE, 0);
      return registers.read32(MOVED);
    },
    stop: () => registers.write32(CONTROL, STOP),
    ...o,
  });
}

function start(o: { oracle?: Oracle; device?: Partial<DirectIoDevice> } = {}) {
  const tape = Uint8Array.from({ length: TAPE }, (_, at) => (at * 7 + (at >> 8)) & 0xff);
  const runs: number[][] = [];
  const backend = emulated({ devices: [tapeDevice(tape, runs)], ...(o.oracle && { oracle: o.oracle }) });
  open.push(backend);
  const device = backend.pci.open(SLOT, { dmaMask: 0xffff_ffffn });
  return { tape, runs, backend, device, dma: device.dma, directIo: tapeIo(device, backend.clock, o.device) };
}

/** Bytes as something that is compared in no time. */
function text(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}

test('a run has as many entries as the device takes, a chunk as many runs as its scatterlist needs', async () => {
  const { runs, dma, directIo, tape } = start();
  using memory = dma.allocUser(8 * 4096);
  const part = memory.subarray(100, 100 + 20_000);
  expect(await directIo.read(part)).toBe(20_000);
  // 10,000 bytes from 100 on; then 10,000 from 10,100, which is 1908 in its page.
  expect(runs).toEqual([
    [3996, 4096, 1908],
    [2188, 4096, 3716],
  ]);
  expect(text(part.bytes)).toBe(text(tape.subarray(0, 20_000)));
});

test('at the end of what the device has, a transfer ends short, and is none the less right', {
  timeout: 60_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(TAPE),
      fc.integer({ min: 1, max: 20_000 }),
      fc.boolean(),
      async (position, length, write) => {
        const { dma, directIo, tape, backend } = start();
        using memory = dma.allocUser(length);
        memory.bytes.fill(0xee);
        const before = tape.slice();
        const moved = Math.min(length, TAPE - position);
        expect(await directIo[write ? 'write' : 'read'](memory, { position })).toBe(moved);
        if (write) before.fill(0xee, position, position + moved);
        else expect(text(memory.bytes.subarray(0, moved))).toBe(text(before.subarray(position, position + moved)));
        expect(memory.bytes.subarray(moved).every((byte) => byte === 0xee)).toBe(true);
        expect(text(tape)).toBe(text(before));
        expect(backend.machine).toHaveNoDmaReports();
      },
    ),
    { numRuns: 15 },
  );
});

test('a position that the device does not have is refused before anything happens', async () => {
  const { dma, directIo, runs } = start();
  using memory = dma.allocUser(10);
  await expect(directIo.read(memory, { position: TAPE + 1 })).rejects.toThrow('the tape has 30000 bytes');
  expect(runs).toEqual([]);
});

test('a device that cannot be stopped keeps its memory until it is closed, and gets no other', async () => {
  const stop = () => {
    throw new SystemError('EIO', 'stop');
  };
  const { dma, directIo, device, backend } = start({ device: { stop } });
  const memory = dma.allocUser(20_000);
  await expect(directIo.read(memory, { timeoutMs: 1 })).rejects.toMatchObject({ code: 'EIO', syscall: 'stop' });
  expect(() => memory.free()).toThrow(expect.objectContaining({ code: 'EBUSY' }));
  await expect(directIo.read(memory)).rejects.toThrow('could not be stopped');
  device.close();
  memory.free();
  expect(backend.machine.memory.pinned).toBe(0);
});

test.each([-1, 1.5, 20_001, Number.NaN])('a device that says it moved %s bytes has moved none: EIO', async (moved) => {
  const { dma, directIo } = start({ device: { wait: async () => moved } });
  using memory = dma.allocUser(100);
  await expect(directIo.read(memory)).rejects.toMatchObject({ code: 'EIO' });
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('limits of %s are a RangeError', async (limit) => {
  expect(() => start({ device: { maxSegments: limit } })).toThrow(RangeError);
  const { dma, directIo } = start({ device: { maxTransfer: () => limit } });
  using memory = dma.allocUser(100);
  await expect(directIo.read(memory)).rejects.toBeInstanceOf(RangeError);
});

test('closed while a transfer runs, the memory is back at once', async () => {
  const { dma, directIo, backend } = start();
  const memory = dma.allocUser(20_000);
  const pending = [directIo.read(memory), directIo.write(memory)];
  await backend.clock.sleep(5);
  directIo.close();
  memory.free();
  for (const each of pending) await expect(each).rejects.toMatchObject({ code: 'ECANCELED' });
  await expect(directIo.read(memory)).rejects.toMatchObject({ code: 'EBADF' });
  await backend.clock.sleep(100);
  expect(backend.machine).toHaveNoDmaReports();
  directIo.close();
});
