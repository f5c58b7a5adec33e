import type { Guest } from '../guest.ts';
import { named } from '../programs/encode.ts';
import { allowedOutcomes } from './explore.ts';
import { encodeLitmus, type Litmus } from './litmus.ts';

/** What became of a litmus test: how often the real kernel showed each outcome, and which of them are allowed. */
export interface LitmusReport {
  readonly test: Litmus;
  /** What the list of allowed outcomes is bounded by. */
  readonly preemptions: number;
  /** Interleavings that the emulator ran to list the allowed outcomes. */
  readonly interleavings: number;
  readonly allowed: ReadonlySet<string>;
  readonly seen: ReadonlyMap<string, number>;
}

/** Preemptions that the emulator's list of allowed outcomes is bounded by. */
const PREEMPTIONS = 2;
/** Where the real kernel shows an outcome that is not in the list, it is searched for with more. */
const MOST_PREEMPTIONS = 3;

/** Runs a test on the real kernel, and lists what the emulated one allows. */
export async function checkLitmus(guest: Guest, test: Litmus, runs: number): Promise<LitmusReport> {
  const seen = decodeOutcomes(await guest.request('litmus', encodeLitmus(test, runs)));
  for (let preemptions = PREEMPTIONS; ; preemptions++) {
    const allowed = allowedOutcomes(test, preemptions);
    const report = { test, preemptions, interleavings: allowed.runs, allowed: allowed.outcomes, seen };
    if (preemptions === MOST_PREEMPTIONS || forbidden(report).length === 0) return report;
  }
}

/** Outcomes that the emulator says cannot be. */
export function forbidden({ allowed, seen }: LitmusReport): string[] {
  return [...seen.keys()].filter((outcome) => !allowed.has(outcome));
}

/** `12\t-11, | 4: 1, => …` in the words of the emulator's side. */
function decodeOutcomes(answer: string): Map<string, number> {
  const seen = new Map<string, number>();
  for (const line of answer.split('\n').filter(Boolean)) {
    const [count = '', text = ''] = line.split('\t');
    if (count === 'failed') throw new Error(`the test did not come to its end in the guest (status ${text})`);
    const [workers = '', after = ''] = text.split(' => ');
    seen.set([workers.split(' | ').map(log).join(' | '), log(after)].join(' => '), Number(count));
  }
  return seen;
}

function log(text: string): string {
  const entries = text.split(', ').filter((entry) => entry.trim() !== '');
  return entries.map(named).join(', ') || '-';
}
