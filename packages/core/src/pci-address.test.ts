import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PciAddress } from './pci-address.ts';

const parts = fc.record({
  domain: fc.nat(0xffff_ffff),
  bus: fc.nat(0xff),
  slot: fc.nat(0x1f),
  function: fc.nat(7),
});

test('the text of an address reads back as the same address', () => {
  fc.assert(
    fc.property(parts, (p) => {
      const address = new PciAddress(p);
      expect(PciAddress.parse(`${address}`)).toEqual(address);
      expect(PciAddress.parse(`${address}`.toUpperCase())).toEqual(address);
    }),
  );
});

test('the short form is in domain 0', () => {
  expect(`${PciAddress.parse('02:1f.7')}`).toBe('0000:02:1f.7');
});

test('a domain of more than 16 bits, as VMD has, keeps its digits', () => {
  expect(`${PciAddress.parse('10000:01:00.0')}`).toBe('10000:01:00.0');
});

test('a part that is no integer in its range is a RangeError', () => {
  const wrong = fc.oneof(
    fc.constantFrom(-1, Number.NaN, Number.POSITIVE_INFINITY, 0.5, 2 ** 32),
    fc.integer({ max: -1 }),
    fc.integer({ min: 2 ** 32, max: Number.MAX_SAFE_INTEGER }),
  );
  fc.assert(
    fc.property(parts, fc.constantFrom('domain', 'bus', 'slot', 'function'), wrong, (p, part, value) => {
      expect(() => new PciAddress({ ...p, [part]: value })).toThrow(RangeError);
    }),
  );
  expect(() => PciAddress.parse('00:20.0')).toThrow(RangeError);
  expect(() => PciAddress.parse('00:00.8')).toThrow(RangeError);
});

test('text of another form is a TypeError', () => {
  for (const text of ['', '00:04', '00:04.0 ', '0:4.0', '000:00:04.0', '00:04.a', 'gg:00.0', '00-04.0', '00:04.0\n']) {
    expect(() => PciAddress.parse(text), JSON.stringify(text)).toThrow(TypeError);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^[0-9a-f:]+\.[0-9]$/i.test(text));
      expect(() => PciAddress.from(text)).toThrow(TypeError);
    }),
  );
});

test('addresses order by domain, bus, slot, function', () => {
  const sorted = ['0000:00:01.0', '0000:00:01.1', '0000:00:02.0', '0000:01:00.0', '0001:00:00.0'];
  const shuffled = [3, 0, 4, 2, 1].map((n) => PciAddress.parse(sorted[n] ?? ''));
  expect(shuffled.sort(PciAddress.compare).map(String)).toEqual(sorted);
});

test('an address is frozen', () => {
  expect(Object.isFrozen(PciAddress.parse('00:04.0'))).toBe(true);
});
