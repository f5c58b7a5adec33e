import { PAGE_SIZE } from '@usrdrv/core';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { at, hostKernel, mapPages, test } from './addon.fixture.ts';

const WIDTHS = [1, 2, 4, 8] as const;

describe('register access', () => {
  test('each width reads and writes its own bytes, little-endian', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel);
    const bytes = kernel.process.bytes(address, 16);
    using region = kernel.process.mmio(address, 16);
    region.write64(0, 0x8877_6655_4433_2211n);
    expect([...bytes.subarray(0, 8)]).toEqual([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    expect(region.read8(7)).toBe(0x88);
    expect(region.read16(6)).toBe(0x8877);
    expect(region.read32(4)).toBe(0x8877_6655);
    expect(region.read64(0)).toBe(0x8877_6655_4433_2211n);
    region.write8(8, 0xff);
    region.write16(10, 0xfffe);
    region.write32(12, 0xffff_fffd);
    expect([...bytes.subarray(8)]).toEqual([0xff, 0, 0xfe, 0xff, 0xfd, 0xff, 0xff, 0xff]);
    kernel.process.thread.munmap(address, PAGE_SIZE);
  });

  test('what one access writes, and only that, the next reads: against a DataView of the same memory', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel);
    const length = 64;
    const view = new DataView(kernel.process.bytes(address, length).slice().buffer);
    using region = kernel.process.mmio(address, length);
    const access = fc.record({
      width: fc.constantFrom(...WIDTHS),
      slot: fc.nat(length - 1),
      value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 50 }), (accesses) => {
        for (const { width, slot, value } of accesses) {
          const offset = (slot % (length / width)) * width;
          const cut = BigInt.asUintN(8 * width, value);
          if (width === 1) {
            view.setUint8(offset, Number(cut));
            region.write8(offset, Number(cut));
            expect(region.read8(offset)).toBe(view.getUint8(offset));
          } else if (width === 2) {
            view.setUint16(offset, Number(cut), true);
            region.write16(offset, Number(cut));
            expect(region.read16(offset)).toBe(view.getUint16(offset, true));
          } else if (width === 4) {
            view.setUint32(offset, Number(cut), true);
            region.write32(offset, Number(cut));
            expect(region.read32(offset)).toBe(view.getUint32(offset, true));
          } else {
            view.setBigUint64(offset, cut, true);
            region.write64(offset, cut);
            expect(region.read64(offset)).toBe(view.getBigUint64(offset, true));
          }
        }
        expect(kernel.process.bytes(address, length)).toEqual(new Uint8Array(view.buffer));
      }),
    );
    kernel.process.thread.munmap(address, PAGE_SIZE);
  });

  test('an offset that is misaligned, out of bounds or no offset is a RangeError', () => {
    const kernel = hostKernel();
    using region = kernel.process.mmio(mapPages(kernel), 8);
    const wrong = [-1, 8, 9, 2 ** 32, 2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '0', null, {}, 0n];
    for (const offset of wrong as number[]) {
      expect(() => region.read8(offset)).toThrow(RangeError);
      expect(() => region.read16(offset)).toThrow(RangeError);
      expect(() => region.read32(offset)).toThrow(RangeError);
      expect(() => region.read64(offset)).toThrow(RangeError);
      expect(() => region.write8(offset, 0)).toThrow(RangeError);
      expect(() => region.write64(offset, 0n)).toThrow(RangeError);
    }
    expect(() => region.read16(1)).toThrow('offset 0x1 is not aligned');
    expect(() => region.read32(2)).toThrow(RangeError);
    expect(() => region.read64(4)).toThrow('8 bytes at offset 4 are outside the region of 8 bytes');
  });

  test('a region that starts within a register refuses what would be two accesses', () => {
    const kernel = hostKernel();
    using region = kernel.process.mmio(at(mapPages(kernel), 2), 8);
    expect(region.read16(0)).toBe(0);
    expect(() => region.read32(0)).toThrow(RangeError);
  });

  test('a value that does not fit is a RangeError, and nothing is written', () => {
    const kernel = hostKernel();
    using region = kernel.process.mmio(mapPages(kernel), 8);
    for (const value of [-1, 2 ** 32, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null, {}, 1n] as number[]) {
      expect(() => region.write8(0, value)).toThrow(RangeError);
      expect(() => region.write16(0, value)).toThrow(RangeError);
      expect(() => region.write32(0, value)).toThrow(RangeError);
    }
    for (const value of [-1n, 1n << 64n, 1, '1', null] as bigint[]) {
      expect(() => region.write64(0, value)).toThrow(RangeError);
    }
    expect(() => region.write8(0, 256)).toThrow('256 is no unsigned integer of 8 bits');
    expect(region.read64(0)).toBe(0n);
  });

  test('a closed region is EBADF; closing it again does nothing, not even to its successor', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel);
    const closed = kernel.process.mmio(address, 8);
    closed.close();
    using open = kernel.process.mmio(address, 8);
    closed.close();
    expect(() => closed.read32(0)).toThrow(/EBADF.*closed/);
    expect(() => closed.write32(0, 0)).toThrow(/EBADF/);
    expect(open.read32(0)).toBe(0);
  });

  test('a region whose memory was unmapped is EBADF, also where something else is mapped there since', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel, 2);
    const first = kernel.process.mmio(address, 8);
    const second = kernel.process.mmio(at(address, PAGE_SIZE), 8);
    const both = kernel.process.mmio(address, 2 * PAGE_SIZE);
    kernel.process.thread.munmap(at(address, PAGE_SIZE), PAGE_SIZE);
    expect(first.read32(0)).toBe(0);
    expect(() => second.read32(0)).toThrow(/EBADF.*no longer mapped/);
    expect(() => both.read32(0)).toThrow(/EBADF/);
    for (let round = 0; round < 8; round++) mapPages(kernel);
    expect(() => second.write32(0, 1)).toThrow(/EBADF/);
  });

  test('a region beyond its mapping, or of no length at all, is refused', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel);
    expect(() => kernel.process.mmio(address, PAGE_SIZE + 1)).toThrow(/EFAULT/);
    expect(() => kernel.process.mmio(at(address, -1), 1)).toThrow(/EFAULT/);
    for (const length of [-1, 0.5, Number.NaN, '4', null] as number[]) {
      expect(() => kernel.process.mmio(address, length)).toThrow(RangeError);
    }
    expect(() => kernel.process.mmio(address, 0).read8(0)).toThrow(RangeError);
  });
});
