/**
 * 10,000 random programs of 50 system calls, each on a machine of its own, compared with the model. The model alone, which
 * is plain function calls, is the reference.
 */

import { predict, programs, runProgram } from '@usrdrv/conformance/programs';
import type { KernelProfile } from '@usrdrv/core';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import fc from 'fast-check';

const RUNS = 10_000;
const CALLS = 50;

const generating = performance.now();
const drawn = fc.sample(programs({ minLength: CALLS, maxLength: CALLS }), { numRuns: RUNS, seed: 1 });
row('drawn', performance.now() - generating);

for (const kernel of ['usrdrv-6.1', 'chubb-2.6.11'] as const) await measure(kernel);

async function measure(kernel: KernelProfile): Promise<void> {
  let start = performance.now();
  const predicted = drawn.map((program) => predict(program, kernel));
  const reference = performance.now() - start;
  row(`predicted for ${kernel}`, reference);

  start = performance.now();
  let calls = 0;
  for (const { calls: kept, log } of predicted) {
    const target = emulatedTarget(kernel);
    const got = await runProgram(target, kept);
    endTarget(target);
    calls += kept.length;
    if (got.some((entry, at) => entry !== log[at])) throw new Error('a program differs from the model');
  }
  row(`run on ${kernel}, ${calls} calls`, performance.now() - start, reference);
}

function row(what: string, ms: number, reference = ms): void {
  const seconds = (ms / 1000).toFixed(2).padStart(7);
  console.log(`  ${RUNS} programs ${what.padEnd(36)} ${seconds} s ${(ms / reference).toFixed(1).padStart(7)} x`);
}
