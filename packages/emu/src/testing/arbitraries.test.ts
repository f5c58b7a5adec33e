import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHOICE_TAGS, faults, formatToken, parseToken } from '../index.ts';
import { DEVICE_TAGS, deviceBehaviours, faultPlans, tapes } from './arbitraries.ts';

/** What a property that fails shrinks to. */
function smallest<T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => boolean): T | undefined {
  return fc.check(
    fc.property(arbitrary, (value) => holds(value)),
    { seed: 1, numRuns: 1000 },
  ).counterexample?.[0];
}

describe('fault plans', () => {
  test('are what faults() takes, of whichever tags and steps', () => {
    const options = fc.record({
      tags: fc.subarray([...CHOICE_TAGS], { minLength: 1 }),
      most: fc.nat(5),
      steps: fc.subarray(['R3b', 'arm', 'schedule']),
    });
    fc.assert(
      fc.property(
        options.chain((o) => fc.tuple(fc.constant(o), faultPlans(o))),
        ([{ tags, most, steps }, plan]) => {
          expect(faults(plan).unused.length).toBe(plan.length);
          expect(plan.length).toBeLessThanOrEqual(most);
          for (const { tag, step } of plan) {
            expect(tags).toContain(tag);
            if (step !== undefined) expect(steps).toContain(step);
          }
        },
      ),
    );
  });

  test('have half of their faults early, where a short run has all of its own, and the rest wherever', () => {
    const seen = fc.sample(faultPlans({ tags: ['device.remove'] }), { seed: 1, numRuns: 500 }).flat();
    const early = seen.filter(({ nth = 1 }) => nth <= 12).length / seen.length;
    expect(early).toBeGreaterThan(0.4);
    expect(early).toBeLessThan(0.7);
  });

  test('shrink to none', () => {
    expect(smallest(faultPlans(), () => false)).toEqual([]);
  });

  test('shrink to the one fault that matters, at its first time', () => {
    const worst = smallest(faultPlans(), (plan) => !plan.some(({ tag, nth = 1 }) => tag === 'dma.error' && nth >= 3));
    expect(worst).toEqual([{ tag: 'dma.error', nth: 3 }]);
  });
});

describe('device behaviours', () => {
  test('are of the device, and some are for good', () => {
    const seen = fc.sample(deviceBehaviours(), { seed: 1, numRuns: 500 }).flat();
    expect(new Set(seen.map(({ tag }) => tag))).toEqual(new Set(DEVICE_TAGS));
    expect(seen.some(({ times }) => times === Number.POSITIVE_INFINITY)).toBe(true);
    expect(new Set(seen.filter(({ tag }) => tag === 'device.delay').map(({ way }) => way))).toEqual(new Set([1, 2, 3]));
    for (const each of seen) faults([each]);
  });

  test('shrink to the device as it should be', () => {
    expect(smallest(deviceBehaviours(), () => false)).toEqual([]);
  });
});

describe('tapes', () => {
  test('are what a token holds, as long and as dense as asked for', () => {
    const options = fc.record({ length: fc.integer({ min: 1, max: 1000 }), most: fc.integer({ min: 1, max: 20 }) });
    fc.assert(
      fc.property(
        options.chain((o) => fc.tuple(fc.constant(o), tapes(o))),
        ([{ length, most }, tape]) => {
          const token = formatToken({ kernel: 'usrdrv-6.1', scenario: 'x', tape });
          expect(parseToken(token).tape).toEqual(tape);
          expect(tape.size).toBeLessThanOrEqual(most);
          for (const at of tape.keys()) expect(at).toBeLessThan(length);
        },
      ),
    );
  });

  test('reach as far as they were told to, evenly', () => {
    const seen = fc.sample(tapes({ length: 200 }), { seed: 1, numRuns: 500 }).flatMap((tape) => [...tape.keys()]);
    expect(Math.max(...seen)).toBeGreaterThan(190);
    const half = seen.filter((at) => at < 100).length / seen.length;
    expect(half).toBeGreaterThan(0.35);
    expect(half).toBeLessThan(0.65);
  });

  test('shrink to the fewest choices that differ', () => {
    expect(smallest(tapes(), () => false)).toEqual(new Map());
    expect(smallest(tapes(), (tape) => tape.size < 2)?.size).toBe(2);
    const worst = smallest(tapes(), (tape) => ![...tape].some(([at, way]) => at >= 17 && way >= 2));
    expect(worst?.size).toBe(1);
    expect([...(worst?.values() ?? [])]).toEqual([2]);
  });
});
