import { PAGE_SIZE, SystemError } from '@usrdrv/core';
import { afterEach, beforeEach, describe, expect } from 'vitest';
import { hostKernel, mapPages, test } from '../addon.fixture.ts';
import { PartlyMappedRegisters } from './region-access.ts';

const START = 2 ** 40;
const LENGTH = 3 * PAGE_SIZE;

/** A region of three pages, of which the middle one is mapped: memory of the process stands in for a device's. */
describe('a region of which a part is mapped', () => {
  let kernel: ReturnType<typeof hostKernel>;
  let page: ReturnType<typeof mapPages>;
  let region: PartlyMappedRegisters;
  /** What went through the device's file. */
  let calls: unknown[][];

  beforeEach(() => {
    kernel = hostKernel();
    page = mapPages(kernel);
    calls = [];
    const device = {
      path: '0000:00:04.0',
      read: (offset: number, width: number) => {
        calls.push(['read', offset - START, width]);
        return 0x7f;
      },
      write: (offset: number, width: number, value: number) => calls.push(['write', offset - START, width, value]),
    };
    const areas = [{ offset: PAGE_SIZE, registers: kernel.process.mmio(page, PAGE_SIZE) }];
    region = new PartlyMappedRegisters(device, START, LENGTH, areas);
  });
  afterEach(() => {
    region.close();
    kernel.process.thread.munmap(page, PAGE_SIZE);
  });

  test('V6 is reached by loads and stores there, and through the device’s file elsewhere', () => {
    region.write32(PAGE_SIZE + 8, 0x1234_5678);
    region.write64(PAGE_SIZE + 16, 0x1122_3344_5566_7788n);
    expect(region.read32(PAGE_SIZE + 8)).toBe(0x1234_5678);
    expect([region.read16(PAGE_SIZE + 8), region.read8(PAGE_SIZE + 11)]).toEqual([0x5678, 0x12]);
    expect(region.read64(PAGE_SIZE + 16)).toBe(0x1122_3344_5566_7788n);
    expect(calls).toEqual([]);

    region.write32(0, 5);
    region.write16(2 * PAGE_SIZE, 6);
    region.write8(LENGTH - 1, 7);
    expect([region.read32(PAGE_SIZE - 4), region.read16(2), region.read8(1)]).toEqual([0x7f, 0x7f, 0x7f]);
    expect(calls).toEqual([
      ['write', 0, 4, 5],
      ['write', 2 * PAGE_SIZE, 2, 6],
      ['write', LENGTH - 1, 1, 7],
      ['read', PAGE_SIZE - 4, 4],
      ['read', 2, 2],
      ['read', 1, 1],
    ]);
  });

  test('8 bytes outside the mapped part are refused: the file would halve the access', () => {
    expect(() => region.read64(0)).toThrow(SystemError);
    expect(() => region.write64(2 * PAGE_SIZE, 1n)).toThrow(/EOPNOTSUPP.*use two of 4/);
    expect(calls).toEqual([]);
  });

  test('outside, misaligned, and values that do not fit are RangeErrors', () => {
    for (const offset of [-4, LENGTH, LENGTH - 2, 1, PAGE_SIZE + 2, 0.5, Number.NaN]) {
      expect(() => region.read32(offset)).toThrow(RangeError);
      expect(() => region.write32(offset, 0)).toThrow(RangeError);
      expect(() => region.read64(offset)).toThrow(RangeError);
    }
    for (const value of [-1, 0.5, Number.NaN, 0x100]) {
      expect(() => region.write8(0, value)).toThrow(RangeError);
      expect(() => region.write8(PAGE_SIZE, value)).toThrow(RangeError);
    }
    expect(calls).toEqual([]);
  });
});
