import fc from 'fast-check';
import type { Fault } from '../explore/fault-plan.ts';
import type { ChoiceTag } from '../explore/oracle.ts';
import type { Tape } from '../explore/token.ts';

/** How often a short run asks: as far as `nth` reaches. */
const REACH: Readonly<Partial<Record<ChoiceTag, number>>> = {
  'step.signal': 200,
  'interrupt.spurious': 200,
  'device.remove': 100,
  'pci.enable': 2,
};
const USUAL_REACH = 15;

/** What a fault plan is drawn from, where nothing else is said: whatever can go wrong, on either side of the kernel. */
export const FAULT_TAGS = [
  'device.stall',
  'device.delay',
  'dma.error',
  'interrupt.lost',
  'interrupt.spurious',
  'step.signal',
  'alloc.fail',
  'dma.map',
  'pci.enable',
  'device.remove',
] as const satisfies readonly ChoiceTag[];

/** How a device can misbehave, or merely take its time. */
export const DEVICE_TAGS = [
  'device.delay',
  'device.stall',
  'dma.error',
  'interrupt.lost',
] as const satisfies readonly ChoiceTag[];

export interface FaultPlanOptions {
  /** What may go wrong; it shrinks to the first. Left out: {@link FAULT_TAGS}. */
  readonly tags?: readonly ChoiceTag[];
  /** The most faults in a plan. Left out: 3. */
  readonly most?: number;
  /** Steps of the kernel at which signals and spurious interrupts come. Left out: whichever step. */
  readonly steps?: readonly string[];
}

/**
 * Plans of what goes wrong when, for `faults` and {@link scenarioProperty}. They shrink to the fewest faults, each at the
 * first time that matters, and so at last to none.
 *
 * @example
 * ```ts
 * import { faults } from '@usrdrv/emu';
 * import { faultPlans } from '@usrdrv/emu/testing';
 * import fc from 'fast-check';
 * fc.assert(fc.property(faultPlans({ most: 2 }), (plan) => faults(plan).unused.length <= 2));
 * ```
 */
export function faultPlans(o: FaultPlanOptions = {}): fc.Arbitrary<readonly Fault[]> {
  const { tags = FAULT_TAGS, most = 3, steps } = o;
  return fc.array(anyOf(tags, steps), { maxLength: most });
}

/**
 * How a device behaves: latencies, stalls, errors on the bus and interrupts that get lost, now and then, several times in
 * a row, or for good. They shrink to the device as it should be.
 * @param o.most the most deviations. Left out: 4
 */
export function deviceBehaviours(o: { readonly most?: number } = {}): fc.Arbitrary<readonly Fault[]> {
  const times = fc.oneof(
    { arbitrary: fc.constant(1), weight: 4 },
    { arbitrary: fc.integer({ min: 2, max: 5 }), weight: 2 },
    { arbitrary: fc.constant(Number.POSITIVE_INFINITY), weight: 1 },
  );
  const deviation = fc.tuple(anyOf(DEVICE_TAGS), times);
  return fc.array(
    deviation.map(([each, repeated]) => (repeated === 1 ? each : { ...each, times: repeated })),
    { maxLength: o.most ?? 4 },
  );
}

/**
 * Schedules: which choices of a run are not calm, wherever they are. They name no kind of choice, so they reach all of
 * them, most often what is asked most: kernel steps. They shrink to the fewest.
 * @param o.length positions reach so far. Left out: 500, about an operation of a small driver
 * @param o.most the most choices that are not calm. Left out: 8
 */
export function tapes(o: { readonly length?: number; readonly most?: number } = {}): fc.Arbitrary<Tape> {
  const { length = 500, most = 8 } = o;
  return fc
    .sparseArray(fc.integer({ min: 1, max: 3 }), {
      maxLength: length,
      maxNumElements: most,
      noTrailingHole: true,
      size: 'max',
    })
    .map((choices) => new Map(Object.entries(choices).map(([at, way]) => [Number(at), way])));
}

function anyOf(tags: readonly ChoiceTag[], steps?: readonly string[]): fc.Arbitrary<Fault> {
  return fc.oneof({ withCrossShrink: true }, ...tags.map((tag) => fault(tag, steps)));
}

function fault(tag: ChoiceTag, steps: readonly string[] = []): fc.Arbitrary<Fault> {
  const nth = nthTime(REACH[tag] ?? USUAL_REACH);
  if (tag === 'device.delay') {
    return fc.record({ tag: fc.constant(tag), nth, way: fc.integer({ min: 1, max: 3 }) });
  }
  if ((tag === 'step.signal' || tag === 'interrupt.spurious') && steps.length > 0) {
    const atStep = fc.integer({ min: 1, max: 5 });
    return fc.record({ tag: fc.constant(tag), nth: atStep, step: fc.constantFrom(...steps) });
  }
  return fc.record({ tag: fc.constant(tag), nth });
}

/** A short run asks for everything a few times only, so half of the faults come early. */
function nthTime(reach: number): fc.Arbitrary<number> {
  const early = fc.integer({ min: 1, max: Math.min(reach, 12) });
  return fc.oneof({ withCrossShrink: true }, early, fc.integer({ min: 1, max: reach }));
}
