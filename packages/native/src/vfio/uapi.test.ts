import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeIovaRanges, decodeRegionInfo } from './uapi.ts';

const FLAG_MMAP = 4;
const FLAG_CAPS = 8;

/** Bytes with 32-bit and 64-bit members at their offsets. */
function bytes(length: number, members: Readonly<Record<number, number | bigint>>): Uint8Array {
  const view = new DataView(new ArrayBuffer(length));
  for (const [offset, value] of Object.entries(members)) {
    if (typeof value === 'bigint') view.setBigUint64(Number(offset), value, true);
    else view.setUint32(Number(offset), value, true);
  }
  return new Uint8Array(view.buffer);
}

/** struct vfio_region_info; its capabilities, of 16 bytes and more, begin at 32. */
const region = (flags: number, more: Readonly<Record<number, number | bigint>> = {}, length = 32) =>
  decodeRegionInfo(bytes(length, { 4: flags, 12: length > 32 ? 32 : 0, 16: 0x5000n, 24: 3n << 40n, ...more }));

describe('the structures that the kernel fills in', () => {
  test('V6 a region is mapped as a whole, in parts, or not at all', () => {
    expect(region(0)).toEqual({ size: 0x5000, offset: 3 * 2 ** 40, mappable: [] });
    expect(region(FLAG_MMAP).mappable).toEqual([{ offset: 0, size: 0x5000 }]);
    // A capability of another kind first: that of a table that may be mapped too (id 3).
    const chain = { 32: 3, 36: 48, 48: 1, 56: 2, 64: 0n, 72: 0x1000n, 80: 0x3000n, 88: 0x2000n };
    expect(region(FLAG_MMAP | FLAG_CAPS, chain, 96).mappable).toEqual([
      { offset: 0, size: 0x1000 },
      { offset: 0x3000, size: 0x2000 },
    ]);
    expect(region(FLAG_MMAP | FLAG_CAPS, { 32: 3 }, 48).mappable).toEqual([{ offset: 0, size: 0x5000 }]);
  });

  test('the IOVA ranges come as a capability, and not at all from an old kernel', () => {
    const head = { 4: 3, 8: 0xffff_f000n, 16: 24 };
    const ranges = { 24: 1, 32: 2, 40: 0n, 48: 0xfedf_ffffn, 56: 0xfef0_0000n, 64: (1n << 39n) - 1n };
    expect(decodeIovaRanges(bytes(72, { ...head, ...ranges }))).toEqual([
      { start: 0n, end: 0xfedf_ffffn },
      { start: 0xfef0_0000n, end: (1n << 39n) - 1n },
    ]);
    expect(decodeIovaRanges(bytes(24, { 4: 1, 8: 0xffff_f000n }))).toBeUndefined();
    expect(decodeIovaRanges(bytes(24, { ...head, 16: 0 }))).toBeUndefined();
  });

  test('a chain that is broken ends where it breaks', () => {
    const words = fc.array(fc.oneof(fc.nat(128), fc.integer({ min: 0, max: 0xffff_ffff })), {
      minLength: 8,
      maxLength: 40,
    });
    fc.assert(
      fc.property(words, (members) => {
        const { length } = members;
        const info = bytes(4 * length, Object.fromEntries(members.map((word, at) => [4 * at, word])));
        expect(decodeRegionInfo(info).mappable.length).toBeLessThanOrEqual(length);
        expect(decodeIovaRanges(info)?.length ?? 0).toBeLessThanOrEqual(length);
      }),
    );
  });
});
