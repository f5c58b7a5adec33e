import { programs } from '@usrdrv/conformance/programs';
import fc from 'fast-check';
import type { Guest } from '../guest.ts';
import { encodeForGuest } from './encode.ts';

/** Programs in one request; after each, everything has to be free. */
const BATCH = 100;

/** What a time of hard use came to. */
export interface StressReport {
  readonly programs: number;
  /** What programs left behind, as text. */
  readonly left: readonly string[];
}

/**
 * Runs random programs several at a time on one device, disturbed, signalled, and killed at any moment; looks now and
 * then whether the line and the function are free, bus mastering is off and nothing is pinned.
 */
export async function stress(
  guest: Guest,
  o: { readonly seed: number; readonly length: number; readonly forMs: number },
): Promise<StressReport> {
  const left: string[] = [];
  let done = 0;
  for (const end = performance.now() + o.forMs; performance.now() < end && left.length === 0; done += BATCH) {
    const batch = fc.sample(programs({ maxLength: o.length }), { seed: o.seed + done, numRuns: BATCH });
    const found = await guest.request('stress', batch.map(encodeForGuest).join(''));
    if (found !== '') left.push(`after ${done + BATCH} programs:\n${found}`);
  }
  return { programs: done, left };
}
