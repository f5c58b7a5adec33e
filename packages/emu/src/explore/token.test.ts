import type { KernelProfile } from '@usrdrv/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatToken, parseToken, type Token } from './token.ts';

const token = fc.record<Token>({
  kernel: fc.constantFrom<KernelProfile>('usrdrv-6.1', 'chubb-2.6.11'),
  scenario: fc.stringMatching(/^[A-Za-z0-9._~-]{1,20}$/),
  tape: fc
    .uniqueArray(fc.tuple(fc.nat(), fc.integer({ min: 1 })), { selector: ([at]) => at })
    .map((entries) => new Map(entries)),
});

describe('a token', () => {
  test('comes back as it was, whatever the tape', () => {
    fc.assert(
      fc.property(token, (each) => {
        const text = formatToken(each);
        expect(parseToken(text)).toEqual(each);
        expect(formatToken(parseToken(text))).toBe(text);
      }),
    );
  });

  test('has no character that a URL would have to escape, besides the colons of its parts', () => {
    fc.assert(
      fc.property(token, (each) => {
        for (const part of formatToken(each).split(':')) expect(encodeURIComponent(part)).toBe(part);
      }),
    );
  });

  test.each([
    [[], '0'],
    [[0], '1'],
    [[1], '2'],
    [[0, 1, 2], '1-1-1'],
    [[35, 36 + 35], '10-10'],
  ])('writes ones at %j as %s', (positions, tape) => {
    const entries = new Map(positions.map((at) => [at, 1]));
    expect(formatToken({ kernel: 'usrdrv-6.1', scenario: 'x', tape: entries })).toBe(`emu1:usrdrv-6.1:x:${tape}`);
  });

  test('the order in which a tape was made does not show', () => {
    const forwards = new Map([
      [1, 1],
      [5, 2],
    ]);
    const backwards = new Map([...forwards].reverse());
    const of = (tape: Token['tape']) => formatToken({ kernel: 'chubb-2.6.11', scenario: 'x', tape });
    expect(of(backwards)).toBe(of(forwards));
    expect(of(forwards)).toBe('emu1:chubb-2.6.11:x:2-4.2');
  });

  test.each<[Partial<Token>, string]>([
    [{ scenario: '' }, 'name'],
    [{ scenario: 'a:b' }, 'name'],
    [{ scenario: 'two words' }, 'name'],
    [{ kernel: 'linux' as KernelProfile }, 'kernel'],
    [{ tape: new Map([[-1, 1]]) }, 'position'],
    [{ tape: new Map([[0.5, 1]]) }, 'position'],
    [{ tape: new Map([[Number.NaN, 1]]) }, 'position'],
    [{ tape: new Map([[0, 0]]) }, 'way'],
    [{ tape: new Map([[0, Number.POSITIVE_INFINITY]]) }, 'way'],
  ])('is not made of %j', (part, why) => {
    expect(() => formatToken({ kernel: 'usrdrv-6.1', scenario: 'x', tape: new Map(), ...part })).toThrow(RangeError);
    expect(() => formatToken({ kernel: 'usrdrv-6.1', scenario: 'x', tape: new Map(), ...part })).toThrow(why);
  });

  test.each<[string, string]>([
    ['', 'emu1:'],
    ['emu2:usrdrv-6.1:x:0', 'emu1:'],
    ['emu1', 'four parts'],
    ['emu1:usrdrv-6.1:x', 'four parts'],
    ['emu1:usrdrv-6.1:x:0:0', 'four parts'],
    ['emu1:linux:x:0', 'no kernel'],
    ['emu1:usrdrv-6.1::0', 'no scenario'],
    ['emu1:usrdrv-6.1:a b:0', 'no scenario'],
    ...[
      '',
      '-',
      '00',
      '01',
      '0-1',
      '1-0',
      '1-',
      '-1',
      '1.',
      '1.0',
      '1.1',
      '.2',
      '1.02',
      'A',
      '1 ',
      '1.2.3',
      '1--1',
    ].map((tape): [string, string] => [`emu1:usrdrv-6.1:x:${tape}`, 'no tape']),
    [`emu1:usrdrv-6.1:x:${'z'.repeat(9)}`, 'no tape'],
    [`emu1:usrdrv-6.1:x:${'zzzzzzzz-'.repeat(2)}1`, 'no tape'],
  ])('%j is none', (text, why) => {
    expect(() => parseToken(text)).toThrow(TypeError);
    expect(() => parseToken(text)).toThrow(why);
  });

  test('what is no string is none', () => {
    for (const value of [undefined, null, 1, {}, ['emu1:usrdrv-6.1:x:0']]) {
      expect(() => Reflect.apply(parseToken, undefined, [value])).toThrow(TypeError);
    }
  });
});
