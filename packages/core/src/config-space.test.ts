import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { capabilities, extendedCapabilities, findCapability, PCI_CAP_ID_MSI } from './capabilities.ts';
import { type ConfigSpace, checkConfigAccess, readHeader } from './config-space.ts';

/** Configuration space that is its bytes and nothing else: what `lspci -xxxx` prints. */
function dump(bytes: Uint8Array): ConfigSpace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = bytes.length === 4096 ? 4096 : 256;
  const at = (offset: number, width: number, ...values: readonly number[]) => {
    checkConfigAccess({ length }, offset, width, ...values);
    return offset;
  };
  return {
    length,
    read8: (offset) => view.getUint8(at(offset, 1)),
    read16: (offset) => view.getUint16(at(offset, 2), true),
    read32: (offset) => view.getUint32(at(offset, 4), true),
    write8: (offset, value) => view.setUint8(at(offset, 1, value), value),
    write16: (offset, value) => view.setUint16(at(offset, 2, value), value, true),
    write32: (offset, value) => view.setUint32(at(offset, 4, value), value, true),
  };
}

function space(length: 256 | 4096, contents: Record<number, readonly number[]>): ConfigSpace {
  const bytes = new Uint8Array(length);
  for (const [offset, values] of Object.entries(contents)) bytes.set(values, Number(offset));
  return dump(bytes);
}

const anySpace = fc
  .constantFrom<256 | 4096>(256, 4096)
  .chain((n) => fc.uint8Array({ minLength: n, maxLength: n }))
  .map((bytes) => {
    // A list that is there, else most of them would end before they begin.
    bytes[6] = (bytes[6] ?? 0) | 0x10;
    return dump(bytes);
  });

describe('readHeader', () => {
  test('decodes the header of a device', () => {
    const config = space(256, {
      0: [0x34, 0x12, 0xe8, 0x11, 0x07, 0x05, 0x10, 0x00, 0x10, 0x02, 0xff, 0x00],
      14: [0x80],
      44: [0xf4, 0x1a, 0x00, 0x11],
      60: [0x0b, 0x01],
    });
    expect(readHeader(config)).toEqual({
      vendorId: 0x1234,
      deviceId: 0x11e8,
      command: 0x507,
      status: 0x10,
      revision: 0x10,
      classCode: 0x00ff02,
      headerType: 0,
      multiFunction: true,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      interruptPin: 1,
      interruptLine: 11,
    });
  });

  test('a bridge has no subsystem', () => {
    expect(readHeader(space(256, { 14: [1] }))).not.toHaveProperty('subsystemId');
  });

  test('an empty slot reads as all ones', () => {
    const header = readHeader(dump(new Uint8Array(256).fill(0xff)));
    expect(header).toMatchObject({ vendorId: 0xffff, classCode: 0xffffff, interruptPin: 0xff });
  });
});

describe('the capability list', () => {
  test('is walked in its order', () => {
    const config = space(256, { 6: [0x10], 52: [0x40], 64: [0x05, 0x52], 80: [0x10, 0x00] });
    expect(capabilities(config)).toEqual([
      { id: 0x05, offset: 0x40 },
      { id: 0x10, offset: 0x50 },
    ]);
    expect(findCapability(config, PCI_CAP_ID_MSI)).toBe(0x40);
    expect(findCapability(config, 0x11)).toBeUndefined();
  });

  test('is empty where the status register says that there is none', () => {
    expect(capabilities(space(256, { 52: [0x40], 64: [0x05, 0x00] }))).toEqual([]);
  });

  test('ends at an entry that was seen before', () => {
    const config = space(256, { 6: [0x10], 52: [0x40], 64: [0x05, 0x50], 80: [0x01, 0x40] });
    expect(capabilities(config).map(({ offset }) => offset)).toEqual([0x40, 0x50]);
  });

  test('ends at a pointer into the header, and at an id of 0xff', () => {
    expect(capabilities(space(256, { 6: [0x10], 52: [0x40], 64: [0x05, 0x3c] }))).toHaveLength(1);
    expect(capabilities(space(256, { 6: [0x10], 52: [0x40], 64: [0xff, 0x50], 80: [1, 0] }))).toEqual([]);
    expect(capabilities(dump(new Uint8Array(256).fill(0xff)))).toEqual([]);
  });

  test('of a CardBus bridge starts elsewhere', () => {
    const config = space(256, { 6: [0x10], 14: [2], 20: [0x80], 52: [0x40], 128: [0x01, 0] });
    expect(capabilities(config)).toEqual([{ id: 1, offset: 0x80 }]);
  });

  test('the extended one ends at zeros, ones, the header and itself', () => {
    const at = (next: number) => [0x01, 0x00, 0x02 | ((next & 0xf) << 4), next >> 4];
    const first = { id: 1, version: 2, offset: 0x100 };
    expect(extendedCapabilities(space(4096, { 256: at(0x140), 320: at(0) }))).toEqual([
      first,
      { ...first, offset: 0x140 },
    ]);
    expect(extendedCapabilities(space(4096, { 256: at(0x100) }))).toEqual([first]);
    expect(extendedCapabilities(space(4096, { 256: at(0x40) }))).toEqual([first]);
    expect(extendedCapabilities(space(4096, {}))).toEqual([]);
    expect(extendedCapabilities(dump(new Uint8Array(4096).fill(0xff)))).toEqual([]);
    expect(extendedCapabilities(dump(new Uint8Array(256).fill(1)))).toEqual([]);
  });

  test('whatever the bytes, a walk ends, and no entry comes twice', () => {
    fc.assert(
      fc.property(anySpace, (config) => {
        for (const list of [capabilities(config), extendedCapabilities(config)]) {
          const offsets = list.map(({ offset }) => offset);
          expect(new Set(offsets).size).toBe(offsets.length);
          for (const offset of offsets) expect(offset % 4).toBe(0);
        }
        readHeader(config);
      }),
    );
  });
});

test('an access that is misaligned, outside, or of a value that does not fit is a RangeError', () => {
  const wrong = fc.oneof(
    fc.integer({ max: -1 }),
    fc.integer({ min: 256 }),
    fc.constantFrom(Number.NaN, 0.5, Number.POSITIVE_INFINITY),
  );
  const config = space(256, {});
  fc.assert(
    fc.property(wrong, (offset) => {
      expect(() => config.read8(offset)).toThrow(RangeError);
      expect(() => config.write32(offset, 0)).toThrow(RangeError);
    }),
  );
  expect(() => config.read16(1)).toThrow(RangeError);
  expect(() => config.read32(254)).toThrow(RangeError);
  for (const value of [-1, 0x10000, 1.5, Number.NaN, undefined]) {
    expect(() => config.write16(4, value as number)).toThrow(RangeError);
  }
  expect(config.read16(4)).toBe(0);
});
