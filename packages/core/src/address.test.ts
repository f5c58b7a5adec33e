import fc from 'fast-check';
import { expect, test } from 'vitest';
import { busAddress, physicalAddress, virtualAddress } from './address.ts';

test('an address is an integer of 64 bits, everything else a RangeError', () => {
  for (const name of [busAddress, physicalAddress, virtualAddress]) {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        expect(name(value)).toBe(value);
      }),
    );
    expect(name(4096)).toBe(4096n);
    for (const wrong of [-1, -1n, 2n ** 64n, 2 ** 53, 0.5, Number.NaN, '0', null, undefined]) {
      expect(() => name(wrong as bigint)).toThrow(RangeError);
    }
  }
});
