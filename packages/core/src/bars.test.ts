import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBars } from './bars.ts';

const UNUSED = '0x0000000000000000 0x0000000000000000 0x0000000000000000';

test('a 64-bit prefetchable BAR takes two registers', () => {
  const resource = [
    '0x00000000feb80000 0x00000000feb9ffff 0x0000000000040200',
    UNUSED,
    '0x0000383800000000 0x00003838000fffff 0x000000000014220c',
    UNUSED,
    '0x000000000000c080 0x000000000000c09f 0x0000000000040101',
    UNUSED,
    '0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200',
    '',
  ].join('\n');
  expect(decodeBars(resource)).toEqual([
    { kind: 'memory', index: 0, width: 32, prefetchable: false, address: 0xfeb80000n, size: 0x20000 },
    undefined,
    { kind: 'memory', index: 2, width: 64, prefetchable: true, address: 0x383800000000n, size: 0x100000 },
    undefined,
    { kind: 'io', index: 4, port: 0xc080, size: 32 },
    undefined,
  ]);
});

test('a short or empty table is of unused registers', () => {
  expect(decodeBars('')).toEqual(new Array(6).fill(undefined));
  expect(decodeBars(UNUSED)).toEqual(new Array(6).fill(undefined));
});

test('a memory register without a place decodes nothing', () => {
  expect(decodeBars('0x0000000000000000 0x0000000000000000 0x0000000000040200')[0]).toBeUndefined();
});

test('an impossible line is a RangeError', () => {
  for (const line of [
    'nonsense',
    '0x1000 0x1fff',
    '0x1000 0x0fff 0x200 ',
    '0x0000000000002000 0x0000000000001000 0x0000000000000200',
    '0x0000000000000000 0xffffffffffffffff 0x0000000000000200',
    '0x0000000100000000 0x000000010000001f 0x0000000000000101',
  ]) {
    expect(() => decodeBars(line), line).toThrow(RangeError);
  }
});

test('whatever three numbers a line holds, it is refused or has a size of at least 1', () => {
  const number = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => `0x${n.toString(16).padStart(16, '0')}`);
  fc.assert(
    fc.property(fc.array(fc.tuple(number, number, number), { maxLength: 8 }), (lines) => {
      const decode = () => decodeBars(lines.map((line) => line.join(' ')).join('\n'));
      try {
        for (const bar of decode()) if (bar !== undefined) expect(bar.size).toBeGreaterThanOrEqual(1);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
  );
});
