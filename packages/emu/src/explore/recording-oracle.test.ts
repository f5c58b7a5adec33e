import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ChoiceTag, faults } from '../index.ts';
import { ChoiceLimitError } from './recording-oracle.ts';
import { TapeOracle } from './tape-oracle.ts';

describe('a recording oracle', () => {
  test('writes down each choice, and says in words what was not calm', () => {
    const oracle = faults([{ tag: 'alloc.fail', nth: 2 }, { tag: 'device.delay', way: 3 }, { tag: 'step.signal' }]);
    const answers = [
      oracle.choose(2, 'alloc.fail'),
      oracle.choose(4, 'device.delay'),
      oracle.choose(2, 'alloc.fail'),
      oracle.choose(2, 'step.signal', 'R1'),
    ];
    expect(answers).toEqual([0, 3, 1, 1]);
    expect(oracle.tags).toEqual(['alloc.fail', 'device.delay', 'alloc.fail', 'step.signal']);
    expect(oracle.ways).toEqual([2, 4, 2, 2]);
    expect(oracle.describe()).toEqual([
      'device.delay = 3: the 1st time',
      'alloc.fail: the 2nd time',
      'step.signal: the 1st time, at step R1',
    ]);
    expect(oracle.token('usrdrv-6.1')).toBe('emu1:usrdrv-6.1:machine:2.3-1-1');
  });

  test('whatever a tape says, following what was recorded of it gives the same answers', () => {
    const tapes = fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 9 }))).map((entries) => new Map(entries));
    const asks = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 40 });
    fc.assert(
      fc.property(tapes, asks, (tape, ways) => {
        const answers = (oracle: TapeOracle) => ways.map((n) => oracle.choose(n, 'interrupt.route'));
        const first = new TapeOracle(tape);
        const again = answers(first);
        for (const [at, way] of again.entries()) expect(way).toBeLessThan(ways[at] ?? 0);
        const second = new TapeOracle(first.tape);
        expect(answers(second)).toEqual(again);
        expect(second.unused).toEqual(new Map());
      }),
    );
  });

  test('a tape oracle knows what did not come to pass', () => {
    const tape = new Map([
      [0, 1],
      [1, 5],
      [7, 1],
    ]);
    const oracle = new TapeOracle(tape);
    oracle.choose(2, 'alloc.fail');
    oracle.choose(2, 'alloc.fail');
    expect([...oracle.unused.keys()]).toEqual([1, 7]);
  });

  test('ends what asks for ever', () => {
    const oracle = new TapeOracle(new Map());
    oracle.limit = 3;
    const ask = () => oracle.choose(2, 'device.remove');
    for (let time = 0; time < 3; time++) ask();
    expect(ask).toThrow(ChoiceLimitError);
    expect(oracle.asked).toBe(3);
  });
});

describe('a fault plan', () => {
  const answers = (oracle: { choose(n: number, tag: ChoiceTag, step?: string): number }, tag: ChoiceTag, times = 6) =>
    Array.from({ length: times }, () => oracle.choose(2, tag));

  test('counts each fault for itself, and each tag', () => {
    const oracle = faults([
      { tag: 'dma.error', nth: 2, times: 2 },
      { tag: 'dma.error', nth: 5 },
      { tag: 'alloc.fail' },
    ]);
    expect(answers(oracle, 'dma.error')).toEqual([0, 1, 1, 0, 1, 0]);
    expect(answers(oracle, 'alloc.fail')).toEqual([1, 0, 0, 0, 0, 0]);
    expect(answers(oracle, 'device.stall')).toEqual([0, 0, 0, 0, 0, 0]);
    expect(oracle.unused).toEqual([]);
  });

  test('a fault can be for good', () => {
    const oracle = faults([{ tag: 'device.stall', nth: 3, times: Number.POSITIVE_INFINITY }]);
    expect(answers(oracle, 'device.stall')).toEqual([0, 0, 1, 1, 1, 1]);
  });

  test('a fault at a step counts the times at that step', () => {
    const oracle = faults([{ tag: 'step.signal', step: 'R3b', nth: 2 }]);
    const asked = ['R1', 'R3b', 'R1', 'R3b', 'R3b'].map((step) => oracle.choose(2, 'step.signal', step));
    expect(asked).toEqual([0, 0, 0, 1, 0]);
  });

  test('says what did not happen', () => {
    const never = { tag: 'alloc.fail', nth: 2 } as const;
    const oracle = faults([{ tag: 'alloc.fail' }, never]);
    oracle.choose(2, 'alloc.fail');
    expect(oracle.unused).toEqual([never]);
  });

  test.each([
    [{ tag: 'alloc.fails' as ChoiceTag }, 'alloc.fails'],
    [{ tag: 'alloc.fail', nth: 0 } as const, 'nth'],
    [{ tag: 'alloc.fail', nth: 1.5 } as const, 'nth'],
    [{ tag: 'alloc.fail', nth: Number.NaN } as const, 'nth'],
    [{ tag: 'alloc.fail', times: 0 } as const, 'times'],
    [{ tag: 'device.delay', way: -1 } as const, 'way'],
    [{ tag: 'alloc.fail', step: 'R1' } as const, 'not asked at a step'],
    [{ tag: 'step.signal', step: 'R99' } as const, 'R99'],
  ])('does not take %j', (fault, why) => {
    expect(() => faults([fault])).toThrow(RangeError);
    expect(() => faults([fault])).toThrow(why);
  });
});
