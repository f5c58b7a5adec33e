import { Exhaustive, type ExploredFailure, explore } from '@usrdrv/emu';
import type { Guest } from '../guest.ts';
import { named } from '../programs/encode.ts';
import { encodeLitmus, type Litmus } from './litmus.ts';
import { litmusScenario } from './scenario.ts';

/** What became of a litmus test: how often the real kernel showed each outcome, and which of them are allowed. */
export interface LitmusReport {
  readonly test: Litmus;
  /** Which interleavings the emulator ran to list the allowed outcomes, and what went wrong in them. */
  readonly covered: string;
  readonly failures: readonly ExploredFailure[];
  readonly allowed: ReadonlySet<string>;
  readonly seen: ReadonlyMap<string, number>;
}

/** Preemptions that the emulator's list of allowed outcomes is bounded by. */
const PREEMPTIONS = 2;
/** Where the real kernel shows an outcome that is not in the list, it is searched for with more. */
const MOST_PREEMPTIONS = 3;

/** Runs tests on the real kernel one after the other, and lists what the emulated one allows. */
export async function* checkLitmus(
  guest: Guest,
  tests: readonly Litmus[],
  runs: number,
): AsyncGenerator<LitmusReport, void> {
  // The guest never waits for the emulator.
  const answers = tests.map((test) => guest.request('litmus', encodeLitmus(test, runs)));
  // Whoever awaits one hears of it; it may fail before.
  for (const answer of answers) answer.catch(() => undefined);
  for (const [at, test] of tests.entries()) {
    const allowed = allowedOutcomes(test, PREEMPTIONS);
    yield judged({ ...allowed, test, seen: decodeOutcomes((await answers[at]) ?? '') });
  }
}

/** With more preemptions, where the real kernel shows what is not in the list. */
function judged(report: LitmusReport): LitmusReport {
  let best = report;
  for (let preemptions = PREEMPTIONS + 1; preemptions <= MOST_PREEMPTIONS && forbidden(best).length > 0; preemptions++)
    best = { ...report, ...allowedOutcomes(report.test, preemptions) };
  return best;
}

/** Every outcome of every interleaving within a bound on preemptions. */
export function allowedOutcomes(
  test: Litmus,
  preemptions: number,
): Pick<LitmusReport, 'covered' | 'failures' | 'allowed'> {
  const strategy = new Exhaustive(preemptions);
  const { covered, failures, outcomes, exhaustive } = explore(litmusScenario(test), {
    strategy,
    outcomes: true,
    runs: Number.POSITIVE_INFINITY,
  });
  if (!exhaustive && failures.length === 0) throw new Error(`${test.name}: not every interleaving was run: ${covered}`);
  return { covered, failures, allowed: new Set(outcomes.keys()) };
}

/** Outcomes that the emulator says cannot be. */
export function forbidden({ allowed, seen }: Pick<LitmusReport, 'allowed' | 'seen'>): string[] {
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
