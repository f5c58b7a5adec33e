import type { KernelProfile } from '@usrdrv/core';
import fc from 'fast-check';
import type { Target } from '../bench.ts';
import type { Bed } from '../plan.ts';
import { programs } from './arbitrary.ts';
import { Model } from './model.ts';
import { type Call, encodeProgram, type Program, showCall } from './program.ts';
import { runProgram } from './run-program.ts';

/** A program with what the model says of each call, without the calls that the rules do not speak of. */
export interface Predicted {
  readonly calls: readonly Call[];
  readonly log: readonly string[];
}

/** Predicts a program. Calls of which the rules say nothing are left out, and have had no effect. */
export function predict({ calls }: Program, profile: KernelProfile): Predicted {
  const model = new Model(profile);
  const kept: Call[] = [];
  const log: string[] = [];
  for (const call of calls) {
    const entry = model.call(call);
    if (entry === undefined) continue;
    kept.push(call);
    log.push(entry);
  }
  return { calls: kept, log };
}

/** What {@link checkPrograms} is given. */
export interface CheckOptions<T extends Target = Target> extends Bed<T> {
  /** How many programs. */
  readonly runs: number;
  /** System calls in the longest. Left out: 50. */
  readonly maxLength?: number;
  /** Where the random numbers start. Left out: somewhere else each time. */
  readonly seed?: number;
}

/**
 * Runs random programs of system calls, each on a fresh target, and compares what every call returns with the model.
 * @throws Error the smallest program found whose results differ, line by line, with a token to run it again
 */
export async function checkPrograms<T extends Target>({
  runs,
  maxLength = 50,
  seed,
  ...bed
}: CheckOptions<T>): Promise<void> {
  const property = fc.asyncProperty(programs({ maxLength }), (program) => matches(program, bed));
  const result = await fc.check(property, { numRuns: runs, ...(seed !== undefined && { seed }) });
  if (!result.failed) return;
  const [program = { calls: [] }] = result.counterexample ?? [];
  const report = await compare(program, bed);
  const replay = `seed ${result.seed}, path ${result.counterexamplePath}, program ${encodeProgram(program)}`;
  throw new Error(`a program differs from the model after ${result.numRuns} runs\n${report}\n${replay}`);
}

async function matches<T extends Target>(program: Program, { setup, teardown }: Bed<T>): Promise<boolean> {
  const target = await setup({});
  const { calls, log } = predict(program, target.kernel.profile);
  const got = await runProgram(target, calls);
  await teardown(target);
  return got.every((entry, at) => entry === log[at]);
}

/** Runs a program once, and shows each call with its result; where the model says otherwise, that too. */
export async function compare<T extends Target>(program: Program, { setup, teardown }: Bed<T>): Promise<string> {
  const target = await setup({});
  const { calls, log } = predict(program, target.kernel.profile);
  let got: readonly string[];
  try {
    got = await runProgram(target, calls);
  } finally {
    await teardown(target);
  }
  return calls
    .map((call, at) => {
      const [is, expected] = [got[at] ?? '', log[at] ?? ''];
      const line = `${String(at).padStart(3)}  ${showCall(call)}${is === '' ? '' : ` = ${is}`}`;
      return is === expected ? line : `${line}    <-- the model says ${expected}`;
    })
    .join('\n');
}
