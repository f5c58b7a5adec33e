import type { DmaDirection, DmaMapping, UserMemory } from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';
import { deviceReads, deviceWrites, EDU_BLOCK } from '../edu-registers.ts';
import { WRONG_NUMBERS } from '../wrong.ts';
import { openEdu } from './driver-pci.ts';

const PAGE = 4096;

/** DmaMapper and what it gives: consistent memory, user memory, mappings. */
export const driverDmaCases: readonly Case[] = [
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'consistent memory is zeroed, exact in length, and seen by both sides',
    needs: ['edu'],
    async run(t) {
      const device = openEdu(t);
      const memory = device.dma.allocConsistent(1000);
      t.equal(memory.bytes, new Uint8Array(1000), 'bytes');
      memory.bytes.fill(0x77, 0, 500);
      await deviceReads(t, device.bar(0), memory.busAddress, 500);
      memory.bytes.fill(0);
      await deviceWrites(t, device.bar(0), memory.busAddress, 500);
      t.equal(memory.bytes.subarray(0, 500), new Uint8Array(500).fill(0x77), 'what came back');
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'freed memory has no bytes, and freeing again does nothing',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      for (const memory of [dma.allocConsistent(PAGE), dma.allocUser(PAGE)]) {
        t.equal(memory.bytes.length, PAGE, 'bytes before');
        memory.free();
        memory.free();
        memory[Symbol.dispose]();
        t.equal(memory.bytes.length, 0, 'bytes after');
      }
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'a size that is no positive integer is a RangeError',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      for (const size of [0, ...WRONG_NUMBERS]) {
        t.throws('RangeError', `allocConsistent(${String(size)})`, () => dma.allocConsistent(size as number));
        t.throws('RangeError', `allocUser(${String(size)})`, () => dma.allocUser(size as number));
      }
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'more consistent memory than the backend offers is EINVAL, more memory than there is ENOMEM',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      if (!t.backend.supports.consistentLargerThanPage) {
        t.throws('EINVAL', 'allocConsistent of a page and a byte', () => dma.allocConsistent(PAGE + 1));
      }
      t.throws('ENOMEM', 'allocUser of 1 PiB', () => dma.allocUser(2 ** 50));
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'more than one page of consistent memory has one run of bus addresses',
    needs: ['edu', 'consistent-larger-than-page'],
    run(t) {
      const memory = openEdu(t).dma.allocConsistent(3 * PAGE);
      t.equal(memory.bytes, new Uint8Array(3 * PAGE), 'bytes');
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'segments cover the memory exactly, whatever its size and place in the page',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(3 * PAGE + 17);
      for (const [start, end] of [
        [0, memory.bytes.length],
        [0, 1],
        [PAGE - 1, PAGE + 1],
        [100, 2 * PAGE],
        [3 * PAGE, 3 * PAGE + 17],
      ] as const) {
        const mapping = dma.map(memory.subarray(start, end), 'bidirectional');
        t.equal(total(mapping), end - start, `bytes in the segments of ${start} to ${end}`);
        mapping.unmap();
      }
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'memory travels to the device and back through its segments',
    needs: ['edu'],
    async run(t) {
      const device = openEdu(t);
      const [source, target] = [device.dma.allocUser(EDU_BLOCK), device.dma.allocUser(2 * PAGE)];
      for (let at = 0; at < EDU_BLOCK; at++) source.bytes[at] = at * 31;
      await transfer(t, device.dma.map(source, 'to-device'), (address, length, done) =>
        deviceReads(t, device.bar(0), address, length, done),
      );
      const part = target.subarray(123, 123 + EDU_BLOCK);
      await transfer(t, device.dma.map(part, 'from-device'), (address, length, done) =>
        deviceWrites(t, device.bar(0), address, length, done),
      );
      t.equal(part.bytes, source.bytes, 'what came back');
      t.equal(target.bytes.subarray(0, 123), new Uint8Array(123), 'what stands before it');
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'a mapping says what it is of, and unmapping again does nothing',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(PAGE);
      const mapping = dma.map(memory, 'from-device');
      t.equal([mapping.memory, mapping.direction], [memory, 'from-device'], 'memory and direction');
      mapping.unmap();
      mapping.unmap();
      mapping[Symbol.dispose]();
      dma.map(memory, 'to-device').unmap();
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'memory that is mapped cannot be freed: EBUSY; freed memory cannot be mapped: EFAULT',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(PAGE);
      const mapping = dma.map(memory, 'to-device');
      t.throws('EBUSY', 'free while it is mapped', () => memory.free());
      mapping.unmap();
      const part = memory.subarray(0, 100);
      memory.free();
      t.throws('EFAULT', 'map', () => dma.map(memory, 'to-device'));
      t.throws('EFAULT', 'map of a part', () => dma.map(part, 'to-device'));
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'foreign memory is a TypeError, an unknown direction a RangeError',
    needs: ['edu'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(PAGE);
      const foreign = { bytes: new Uint8Array(PAGE), subarray: () => memory, free() {}, [Symbol.dispose]() {} };
      for (const wrong of [foreign, new Uint8Array(PAGE), dma.allocConsistent(PAGE), null, 4096]) {
        t.throws('TypeError', 'map', () => dma.map(wrong as UserMemory, 'to-device'));
      }
      for (const direction of ['none', 'toString', 0, undefined, null]) {
        t.throws('RangeError', `direction ${String(direction)}`, () => dma.map(memory, direction as DmaDirection));
      }
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'a part outside the memory is a RangeError, and shares the bytes inside it',
    needs: ['edu'],
    run(t) {
      const memory = openEdu(t).dma.allocUser(100);
      for (const [start, end] of [
        [-1, 10],
        [10, 10],
        [20, 10],
        [0, 101],
        [100, 101],
        [0.5, 10],
        [Number.NaN, 10],
      ] as const) {
        t.throws('RangeError', `${start} to ${end}`, () => memory.subarray(start, end));
      }
      const part = memory.subarray(10, 20);
      part.bytes.fill(7);
      t.equal(memory.bytes.subarray(8, 12), Uint8Array.of(0, 0, 7, 7), 'bytes of the whole');
      part.free();
      t.equal(memory.bytes.length, 100, 'bytes after freeing a part, which does nothing');
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'pins beyond RLIMIT_MEMLOCK are ENOMEM',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(4 * PAGE);
      t.result(t.thread.setrlimit('RLIMIT_MEMLOCK', 3 * PAGE), 0, 'setrlimit');
      t.throws('ENOMEM', 'map of 4 pages', () => dma.map(memory, 'to-device'));
      dma.map(memory.subarray(0, 3 * PAGE), 'to-device').unmap();
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'closing the device unmaps, and leaves user memory to the process',
    needs: ['edu', 'accounting'],
    run(t) {
      const device = openEdu(t);
      const memory = device.dma.allocUser(2 * PAGE);
      memory.bytes.fill(9);
      const pins = t.accounting.pins();
      const mapping = device.dma.map(memory, 'bidirectional');
      device.close();
      t.equal(t.accounting.pins(), pins, 'pins');
      mapping.unmap();
      t.equal(memory.bytes.subarray(0, 2), Uint8Array.of(9, 9), 'bytes');
      memory.free();
    },
  },
  {
    id: 'DmaMapper',
    level: 'driver',
    title: 'a mapping that fails leaves nothing pinned',
    needs: ['edu', 'failing-allocations', 'accounting'],
    run(t) {
      const { dma } = openEdu(t);
      const memory = dma.allocUser(PAGE);
      // Its page is there: what fails is the mapping.
      memory.bytes.fill(1);
      const pins = t.accounting.pins();
      let failures = 0;
      for (let nth = 1, failed = true; failed; nth++) {
        t.faults.failAllocation(nth);
        try {
          dma.map(memory, 'to-device').unmap();
        } catch (error) {
          failures++;
          t.throws('ENOMEM', `map whose allocation ${nth} fails`, () => {
            throw error;
          });
        }
        failed = t.faults.allocationFailed();
        t.equal(t.accounting.pins(), pins, 'pins');
      }
      t.ok(failures > 0, 'there is an allocation that map cannot do without');
      memory.free();
    },
  },
];

function total({ segments }: DmaMapping): number {
  return segments.reduce((sum, { length }) => sum + length, 0);
}

/** Lets the device go through a mapping, segment by segment, and takes the memory back. */
async function transfer(
  t: Context,
  mapping: DmaMapping,
  each: (address: DmaMapping['segments'][number]['busAddress'], length: number, done: number) => Promise<void>,
): Promise<void> {
  let done = 0;
  for (const { busAddress, length } of mapping.segments) {
    await each(busAddress, length, done);
    done += length;
  }
  t.equal(done, EDU_BLOCK, 'bytes in the segments');
  mapping.unmap();
}
