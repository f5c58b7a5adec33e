import { join } from 'node:path';
import { checkConformance } from './conformance/suite.ts';
import { provokeDefects } from './defects.ts';
import { type BootOptions, Guest } from './guest.ts';
import { executorInitramfs, latencyInitramfs } from './initramfs.ts';
import { cacheFolder, type KernelName, kernelImage } from './kernel.ts';
import { cTestsOf, passedIn, type TestGuest, type TestsResult } from './kernel-tests.ts';
import { LATENCY_DEVICES, measureLatency } from './latency.ts';
import { checkLitmus, forbidden, type LitmusReport } from './litmus/check.ts';
import { LITMUS_TESTS } from './litmus/tests.ts';
import type { Places } from './places.ts';
import { checkRandomPrograms, replayProgram, type Seat } from './programs/check.ts';
import { stress } from './programs/stress.ts';
import type { Report } from './report.ts';
import { checkSamples } from './samples/samples.ts';

/** What suites are told; see the usage in main.ts. */
export interface SuiteOptions {
  readonly kernel: Exclude<KernelName, 'stock'>;
  readonly programs: number;
  readonly length: number;
  /** Where the random numbers start. */
  readonly seed: number;
  readonly replay?: string;
  readonly runs: number;
  readonly test: string;
  readonly seconds: number;
  readonly rounds: number;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** In the order in which they start: those with long guests first, and last those that want the machine for themselves. */
export const SUITES = [
  'stress',
  'conformance',
  'kernel',
  'programs',
  'defects',
  'samples',
  'litmus',
  'latency',
] as const;
export type SuiteName = (typeof SUITES)[number];

/** What boots which kernels: those of `--kernel` besides. */
export const STOCK_SUITES: readonly SuiteName[] = ['conformance', 'kernel', 'defects', 'samples'];
/** With KASAN, lockdep and kmemleak: what hard use does wrong shows there. */
export const HARD_USE_KERNEL = 'debug';

/**
 * Who is woken on a processor that polls needs no interrupt of the other, which takes long; so both are busy, and nobody else
 * should be. A device without an interrupt pin stands where guest/litmus.c looks for it.
 */
const LITMUS_MACHINE: Partial<BootOptions> = {
  append: 'idle=poll',
  devices: ['edu', 'edu', 'pci-testdev,addr=0x1e'],
};

/** A function that is enabled has its line looked up, and ACPI's tables are a program that takes long: MP tables say the same. */
const PROGRAMS_MACHINE: Partial<BootOptions> = { append: 'acpi=noirq' };

/** The suites, ready to run. Each waits for places for its guests. */
export function suites(
  o: SuiteOptions,
  places: Places,
): Readonly<Record<SuiteName, (report: Report) => Promise<Counts>>> {
  let executor: string | undefined;
  const cTestsIn = new Map<TestGuest, Promise<TestsResult>>();

  /** The C tests of packages/kernel-patch, run once however often they are asked for. */
  function cTests(guest: TestGuest): Promise<TestsResult> {
    const result = cTestsIn.get(guest) ?? places.use(() => cTestsOf(guest));
    cTestsIn.set(guest, result);
    return result;
  }

  async function testsInC(): Promise<Readonly<Record<'patched' | 'module', string[]>>> {
    const [patched, module] = await Promise.all([cTests('patched'), cTests('module')]);
    return { patched: passedIn(patched), module: passedIn(module) };
  }

  /** Does something in a guest, and ends it. */
  async function inGuest<T>(
    name: string,
    report: Report,
    work: (guest: Guest) => Promise<T>,
    b: Partial<BootOptions> = {},
    kernel = o.kernel,
  ): Promise<T> {
    // Packed once: another guest may still be starting from it.
    executor ??= executorInitramfs();
    const guest = await Guest.boot({
      kernel: kernelImage(kernel),
      initramfs: executor,
      console: join(cacheFolder(), `console-testbed-${name}.log`),
      memory: kernel === 'debug' ? 1024 : 512,
      // A test may run 10,000 times in one answer, on a machine that does other things too.
      answerMs: 30 * 60_000,
      ...b,
    });
    try {
      report.print(guest.hello.trim());
      const result = await work(guest);
      // Says whether the kernel complained, and about what.
      await guest.end();
      return result;
    } finally {
      guest.kill();
    }
  }

  /** A program has one processor of a guest, so there are two guests. */
  async function randomPrograms(report: Report): Promise<Counts> {
    const { replay, programs: runs, seed, length } = o;
    const seat =
      (name: string): Seat =>
      (work) =>
        places.use(() => inGuest(name, report, work, PROGRAMS_MACHINE));
    if (replay !== undefined) {
      await seat('programs')(async (guest) => report.print(await replayProgram(guest, replay)));
      return { passed: 1, failed: 0 };
    }
    const start = performance.now();
    const progress = (done: number): void => {
      if (done % 5000 === 0) report.print(`  ${done} programs after ${seconds(start)}`);
    };
    const found = await checkRandomPrograms([seat('programs-1'), seat('programs-2')], { runs, seed, length, progress });
    for (const difference of found.differences) report.print(`\nnot ok a program has other results\n${difference}`);
    report.print(`seed ${seed}: ${found.agreed} programs of ${found.calls} calls in all return the same on emu`);
    return { passed: found.agreed, failed: found.differences.length };
  }

  async function litmus(guest: Guest, report: Report): Promise<Counts> {
    const tests = LITMUS_TESTS.filter(({ name }) => name.includes(o.test));
    const counts = { passed: 0, failed: 0 };
    for await (const found of checkLitmus(guest, tests, o.runs)) {
      showLitmus(report, found);
      counts[isGood(found) ? 'passed' : 'failed']++;
    }
    return counts;
  }

  async function hardUse(guest: Guest, report: Report): Promise<Counts> {
    const { programs, left } = await stress(guest, { seed: o.seed, length: o.length, forMs: o.seconds * 1000 });
    for (const each of left) report.print(`not ok ${each}`);
    report.print(`seed ${o.seed}: ${programs} programs, killed, signalled and interrupted at random`);
    return { passed: left.length === 0 ? 1 : 0, failed: left.length };
  }

  return {
    conformance: async (report) => {
      const { text, ...counts } = await checkConformance(places, testsInC);
      report.print(text);
      return counts;
    },

    litmus: (report) =>
      places.useAll(() => inGuest('litmus', report, (guest) => litmus(guest, report), LITMUS_MACHINE)),

    kernel: async (report) => {
      const guests: TestGuest[] = o.kernel === 'debug' ? ['debug'] : ['patched', 'module'];
      return total(report, await Promise.all(guests.map(cTests)));
    },

    programs: randomPrograms,

    defects: (report) => provokeDefects(report, places),

    samples: async (report) => {
      const { text, ...counts } = await places.use(() => checkSamples());
      report.print(text);
      return counts;
    },

    stress: (report) =>
      places.use(() => inGuest('stress', report, (guest) => hardUse(guest, report), {}, HARD_USE_KERNEL)),

    // Figures, and nothing that could fail but the guest.
    latency: (report) =>
      places.useAll(async () => {
        const boot = { initramfs: await latencyInitramfs(), devices: LATENCY_DEVICES, memory: 1536 };
        await inGuest('latency', report, async (guest) => report.print(await measureLatency(guest, o.rounds)), boot);
        return { passed: 1, failed: 0 };
      }),
  };
}

/** How long ago, for people. */
export function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(0)} s`;
}

/** Shows what the scripts printed. */
function total(report: Report, results: readonly TestsResult[]): Counts {
  for (const { output } of results) report.print(output);
  const sum = (of: (result: TestsResult) => number): number => results.reduce((n, result) => n + of(result), 0);
  return { passed: sum(({ passed }) => passed), failed: sum(({ failed }) => failed) };
}

function isGood(report: LitmusReport): boolean {
  return forbidden(report).length === 0 && report.failures.length === 0;
}

function showLitmus(report: Report, found: LitmusReport): void {
  const print = (text: string): void => report.print(text);
  const { test, allowed, seen, covered, failures } = found;
  const bad = forbidden(found);
  const share = `saw ${seen.size - bad.length} of ${allowed.size} allowed outcomes`;
  print(`${isGood(found) ? 'ok' : 'not ok'} ${test.name} (${test.rules}): ${share} (${covered})`);
  for (const { violation, token } of failures) print(`  emu: ${violation.invariant}: ${violation.what}\n  ${token}`);
  if (bad.length === 0) return;
  for (const [outcome, times] of seen) {
    print(`  ${String(times).padStart(6)}  ${outcome}${bad.includes(outcome) ? '    <-- not allowed' : ''}`);
  }
  for (const outcome of allowed) if (!seen.has(outcome)) print(`       -  ${outcome}`);
}
