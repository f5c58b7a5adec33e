import type { Call } from '@usrdrv/conformance/programs';
import type { ThreadScenario } from '@usrdrv/emu';
import { encodeCall } from '../programs/encode.ts';

/** A call of a litmus test: one of a program's, or a signal (caught, without SA_RESTART) for another worker. */
export type LitmusCall = Call | { readonly call: 'signal'; readonly worker: number };

/** Who makes calls while others make theirs. */
export interface Worker {
  readonly calls: readonly LitmusCall[];
  /** A process of its own, forked after the setup: same files, memory copied. Left out: a thread. */
  readonly process?: boolean;
}

/** A small concurrent program; its outcome is what every call of the workers, and every one after them, returned. */
export interface Litmus {
  readonly name: string;
  /** What it is about, by rule id. */
  readonly rules: string;
  readonly setup: readonly Call[];
  readonly workers: readonly Worker[];
  /** What is called when every worker is done, or sleeps for good: whatever sleeps then is ended by a signal first. */
  readonly after: readonly Call[];
  /** An invariant of the explorer that does not hold here, and why. */
  readonly without?: ThreadScenario['without'];
}

/** What a call that nobody ends logs. */
export const ASLEEP = 'asleep';

/** An outcome: the workers' logs, and what was logged after them. */
export function showOutcome(workers: readonly (readonly string[])[], after: readonly string[]): string {
  const logs = workers.map((log) => log.filter(Boolean).join(', ') || '-');
  return `${logs.join(' | ')} => ${after.filter(Boolean).join(', ') || '-'}`;
}

/** A test as guest/litmus.c reads it. */
export function encodeLitmus({ setup, workers, after }: Litmus, runs: number): string {
  const kinds = workers.map(({ process }) => (process ? 'p' : 't')).join('');
  const programs = [setup, ...workers.map(({ calls }) => calls), after];
  return `${runs} ${kinds}\n${programs.map((calls) => `${calls.map(encodeLine).join('')}.\n`).join('')}`;
}

function encodeLine(call: LitmusCall): string {
  return `${call.call === 'signal' ? `T 0 ${call.worker}` : encodeCall(call)}\n`;
}
