import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MmioRegion } from './mmio.ts';
import { bit, bits, decodeFields, encodeFields } from './register-fields.ts';
import { r8, r32, r64, registers, rw8, rw32, rw64, w32 } from './registers.ts';

/** A region that lists its accesses and reads as `values` say. */
function recorder(values: Readonly<Record<number, number>> = {}, length = 0x100) {
  const accesses: string[] = [];
  const read = (width: number) => (offset: number) => {
    accesses.push(`r${width} ${offset}`);
    return values[offset] ?? 0;
  };
  const write = (width: number) => (offset: number, value: number | bigint) => {
    accesses.push(`w${width} ${offset} ${value}`);
  };
  const region: MmioRegion = {
    length,
    read8: read(8),
    read16: read(16),
    read32: read(32),
    read64: (offset) => BigInt(read(64)(offset)),
    write8: write(8),
    write16: write(16),
    write32: write(32),
    write64: write(64),
    close: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
  return { accesses, region };
}

describe('a bound register', () => {
  test('is one access of its width, at its offset', () => {
    const { accesses, region } = recorder({ 4: 7 });
    const device = registers({ id: r8(3), data: rw32(4), doorbell: w32(8), address: rw64(16) }).bind(region);
    device.id.read();
    expect(device.data.read()).toBe(7);
    device.data.write(1);
    device.doorbell.write(2);
    device.address.write(3n);
    device.address.read();
    expect(accesses).toEqual(['r8 3', 'r32 4', 'w32 4 1', 'w32 8 2', 'w64 16 3', 'r64 16']);
  });

  test('of 64 bits that are split is two accesses in the order that it names', () => {
    const { accesses, region } = recorder({ 0: 0x44332211, 4: 0x88776655 });
    const device = registers({ up: rw64(0, { split: 'lo-hi' }), down: rw64(8, { split: 'hi-lo' }) }).bind(region);
    expect(device.up.read()).toBe(0x8877665544332211n);
    device.up.write(0x0000000200000001n);
    device.down.read();
    device.down.write(0x0000000200000001n);
    expect(accesses).toEqual(['r32 0', 'r32 4', 'w32 0 1', 'w32 4 2', 'r32 12', 'r32 8', 'w32 12 2', 'w32 8 1']);
  });

  test('that is split writes neither half of a value that does not fit', () => {
    const { accesses, region } = recorder();
    const device = registers({ address: rw64(0, { split: 'lo-hi' }) }).bind(region);
    for (const value of [-1n, 2n ** 64n, 1, undefined]) {
      expect(() => device.address.write(value as bigint)).toThrow(RangeError);
    }
    expect(accesses).toEqual([]);
  });

  test('has at run time too only what its access kind allows', () => {
    const { region } = recorder();
    const device = registers({
      ro: r32(0),
      rc: r32(4, { access: 'rc' }),
      wo: w32(8),
      w1c: w32(12, { access: 'w1c' }),
      rw: rw32(16),
    }).bind(region);
    expect(Object.keys(device.ro)).toEqual(['read', 'readFields']);
    expect(Object.keys(device.rc)).toEqual(['read', 'readFields']);
    expect(Object.keys(device.wo)).toEqual(['write']);
    expect(Object.keys(device.w1c)).toEqual(['read', 'readFields', 'write']);
    expect(Object.keys(device.rw)).toEqual(['read', 'readFields', 'write', 'modify']);
  });

  test('is not bound to a region that is too short', () => {
    expect(() => registers({ last: rw32(0x100) }).bind(recorder().region)).toThrow(RangeError);
    expect(registers({ last: rw32(0x100) }).length).toBe(0x104);
  });
});

describe('fields', () => {
  const fields = { run: bit(0), mode: bits(2, 1, { idle: 0, once: 1, loop: 2 }), length: bits(31, 16) };

  test('are read in one access', () => {
    const { accesses, region } = recorder({ 0: 0x80000005, 4: 0x00000006 });
    const device = registers({ control: rw32(0, { fields }), other: r32(4, { fields }) }).bind(region);
    expect(device.control.readFields()).toEqual({ run: true, mode: 'loop', length: 0x8000 });
    expect(device.other.readFields().mode).toBe(3);
    expect(accesses).toEqual(['r32 0', 'r32 4']);
  });

  test('written are the whole register, modified are the rest kept', () => {
    const { accesses, region } = recorder({ 0: 0xffff0001 });
    const device = registers({ control: rw32(0, { fields }) }).bind(region);
    device.control.write({ run: true, mode: 'once' });
    device.control.modify({ mode: 2, length: 0x1234 });
    expect(accesses).toEqual(['w32 0 3', 'r32 0', `w32 0 ${0x12340005}`]);
  });

  test('that do not fit, or do not exist, are a RangeError before anything is written', () => {
    const { accesses, region } = recorder();
    const { control } = registers({ control: rw32(0, { fields }) }).bind(region);
    for (const wrong of [
      { run: 2 },
      { run: 1 },
      { mode: 4 },
      { mode: 'toString' },
      { length: 0x10000 },
      { length: -1 },
      { length: Number.NaN },
      { length: '1' },
      { nobody: 1 },
      { constructor: 1 },
    ]) {
      expect(() => control.write(wrong as object), JSON.stringify(wrong)).toThrow(RangeError);
    }
    expect(accesses).toEqual([]);
  });

  test('any register taken apart and put together is the same', () => {
    const register = { fields: { a: bit(0), b: bits(8, 1), c: bits(31, 9) } };
    const wide = { fields: { a: bits(31, 0), b: bit(32), c: bits(62, 33), d: bit(63) } };
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), (value, base) => {
        expect(encodeFields(register, decodeFields(register, value), base)).toBe(value);
      }),
    );
    const any64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(any64, any64, (value, base) => {
        expect(encodeFields(wide, decodeFields(wide, value), base)).toBe(value);
      }),
    );
  });
});

describe('a definition is refused with a RangeError', () => {
  const wrong = {
    'of a misaligned register': () => registers({ a: rw32(2) }),
    'of a split register that is not on 4 bytes': () => registers({ a: r64(2, { split: 'lo-hi' }) }),
    'of a 64-bit register in one access that is not on 8 bytes': () => registers({ a: r64(4) }),
    'of a negative offset': () => registers({ a: rw32(-4) }),
    'of an offset that is no integer': () => registers({ a: rw8(0.5), b: rw8(Number.NaN) }),
    'of registers that overlap': () => registers({ a: r64(0), b: rw32(4) }),
    'of two that are written at one offset': () => registers({ a: w32(0), b: w32(0, { access: 'w1c' }) }),
    'of a field outside its register': () => registers({ a: rw8(0, { fields: { f: bits(8, 1) } }) }),
    'of a field of no bits': () => registers({ a: rw32(0, { fields: { f: bits(1, 2) } }) }),
    'of a field of more than 32 bits': () => registers({ a: rw64(0, { fields: { f: bits(32, 0) } }) }),
    'of fields that share a bit': () => registers({ a: rw32(0, { fields: { f: bits(3, 0), g: bit(3) } }) }),
    'of a value that does not fit its field': () =>
      registers({ a: rw32(0, { fields: { f: bits(1, 0, { big: 4 }) } }) }),
    'of two names for a value': () => registers({ a: rw32(0, { fields: { f: bits(1, 0, { x: 1, y: 1 }) } }) }),
  };
  for (const [what, define] of Object.entries(wrong)) {
    test(what, () => {
      expect(define).toThrow(RangeError);
    });
  }
});

test('one register that is read and one that is written may share an offset', () => {
  const { accesses, region } = recorder();
  const device = registers({ status: r32(0), command: w32(0) }).bind(region);
  device.status.read();
  device.command.write(1);
  expect(accesses).toEqual(['r32 0', 'w32 0 1']);
});
