/** What no offset, line, size, index or vector can be: fractions, negative ones, more than a number holds, other types. */
export const WRONG_NUMBERS: readonly unknown[] = [
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  -(2 ** 53),
  '1',
  null,
  {},
  1n,
  Symbol('one'),
];
