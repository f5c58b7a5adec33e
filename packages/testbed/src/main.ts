import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkConformance } from './conformance/suite.ts';
import { provokeDefects } from './defects.ts';
import { type BootOptions, Guest } from './guest.ts';
import { executorInitramfs, latencyInitramfs } from './initramfs.ts';
import { cacheFolder, type KernelName, kernelImage, requirePackages } from './kernel.ts';
import { kernelTests } from './kernel-tests.ts';
import { LATENCY_DEVICES, measureLatency } from './latency.ts';
import { checkLitmus, forbidden, type LitmusReport } from './litmus/check.ts';
import { LITMUS_TESTS } from './litmus/tests.ts';
import { checkRandomPrograms, replayProgram } from './programs/check.ts';
import { stress } from './programs/stress.ts';
import { checkSamples } from './samples/samples.ts';

const USAGE = `usage: main.ts [suite...] [options]
suites: kernel (the C tests), conformance, programs, litmus, defects (of the 2005 code), samples, stress, latency;
left out: kernel, conformance, programs, litmus, defects
  --programs <n>   random programs (20000)
  --length <n>     system calls in the longest (50)
  --seed <n>       where the random numbers start; left out, somewhere else each time
  --replay <token> run one program of an earlier run again, and show both timelines
  --runs <n>       runs of each litmus test (10000)
  --test <text>    only litmus tests whose name has it
  --seconds <n>    of stress (600)
  --rounds <n>     of latency (2000)
  --kernel <name>  patched, or debug for the one with KASAN and lockdep`;

const SUITES = {
  kernel: cTests,
  conformance: conformanceSuite,
  programs: randomPrograms,
  litmus: litmusTests,
  defects: provokeDefects,
  samples: sampleModules,
  stress: hardUse,
  latency,
} as const;
const USUAL = ['kernel', 'conformance', 'programs', 'litmus', 'defects'];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    programs: { type: 'string', default: '20000' },
    length: { type: 'string', default: '50' },
    seed: { type: 'string' },
    replay: { type: 'string' },
    runs: { type: 'string', default: '10000' },
    test: { type: 'string', default: '' },
    seconds: { type: 'string', default: '600' },
    rounds: { type: 'string', default: '2000' },
    kernel: { type: 'string', default: 'patched' },
    help: { type: 'boolean', default: false },
  },
});

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

const start = performance.now();
let passed = 0;
let failed = 0;
let archive: string | undefined;
if (options.help) {
  console.log(USAGE);
} else {
  requirePackages();
  const suites = positionals.length === 0 ? USUAL : positionals;
  for (const name of suites) {
    if (!isSuite(name)) throw new Error(`there is no suite ${name}\n${USAGE}`);
    console.log(`\n== ${name}`);
    const counts = await run(SUITES[name]);
    passed += counts.passed;
    failed += counts.failed;
  }
  console.log(`\nafter ${seconds(start)}\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** A suite that cannot go on has failed. */
async function run(suite: () => Counts | Promise<Counts>): Promise<Counts> {
  try {
    return await suite();
  } catch (error) {
    console.log(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    return { passed: 0, failed: 1 };
  }
}

/** The C tests of packages/kernel-patch: of the patch and the module. */
function cTests(): Counts {
  const { output, ...counts } = kernelTests('test-vm.sh');
  console.log(output);
  return counts;
}

/** Those of packages/kernel-patch/samples. */
async function sampleModules(): Promise<Counts> {
  const { text, ...counts } = await checkSamples();
  console.log(text);
  return counts;
}

async function conformanceSuite(): Promise<Counts> {
  const { text, ...counts } = await checkConformance();
  console.log(text);
  return counts;
}

/** A program has one processor of a guest, so two guests use both of the machine's. */
async function randomPrograms(): Promise<Counts> {
  if (options.replay !== undefined) {
    const guest = await boot('programs');
    console.log(await replayProgram(guest, options.replay));
    await guest.end();
    return { passed: 1, failed: 0 };
  }
  const guests = await Promise.all(['programs-1', 'programs-2'].map((name) => boot(name)));
  const runs = integer('programs');
  const seed = firstSeed();
  const report = await checkRandomPrograms(guests, { runs, seed, length: integer('length'), progress });
  for (const difference of report.differences) console.log(`\nnot ok a program has other results\n${difference}`);
  console.log(`seed ${seed}: ${report.agreed} programs of ${report.calls} calls in all return the same on emu`);
  for (const guest of guests) await guest.end();
  return { passed: report.agreed, failed: report.differences.length };
}

function progress(done: number): void {
  if (done % 5000 === 0) console.log(`  ${done} programs after ${seconds(start)}`);
}

async function litmusTests(): Promise<Counts> {
  const guest = await boot('litmus');
  let good = 0;
  let bad = 0;
  for (const test of LITMUS_TESTS.filter(({ name }) => name.includes(options.test))) {
    const report = await checkLitmus(guest, test, integer('runs'));
    showLitmus(report);
    if (forbidden(report).length === 0 && report.failures.length === 0) good++;
    else bad++;
  }
  await guest.end();
  return { passed: good, failed: bad };
}

function showLitmus(report: LitmusReport): void {
  const { test, allowed, seen, covered, failures } = report;
  const bad = forbidden(report);
  const share = `saw ${seen.size - bad.length} of ${allowed.size} allowed outcomes`;
  const good = bad.length === 0 && failures.length === 0;
  console.log(`${good ? 'ok' : 'not ok'} ${test.name} (${test.rules}): ${share} (${covered})`);
  for (const { violation, token } of failures)
    console.log(`  emu: ${violation.invariant}: ${violation.what}\n  ${token}`);
  if (bad.length === 0) return;
  for (const [outcome, times] of seen) {
    console.log(`  ${String(times).padStart(6)}  ${outcome}${bad.includes(outcome) ? '    <-- not allowed' : ''}`);
  }
  for (const outcome of allowed) if (!seen.has(outcome)) console.log(`       -  ${outcome}`);
}

async function hardUse(): Promise<Counts> {
  const guest = await boot('stress');
  const seed = firstSeed();
  const report = await stress(guest, { seed, length: integer('length'), forMs: integer('seconds') * 1000 });
  for (const each of report.left) console.log(`not ok ${each}`);
  console.log(`seed ${seed}: ${report.programs} programs, killed, signalled and interrupted at random`);
  // Says whether the kernel complained, and about what.
  await guest.end();
  return { passed: report.left.length === 0 ? 1 : 0, failed: report.left.length };
}

/** Figures, and nothing that could fail but the guest. */
async function latency(): Promise<Counts> {
  const guest = await boot('latency', { initramfs: await latencyInitramfs(), devices: LATENCY_DEVICES, memory: 1536 });
  console.log(await measureLatency(guest, integer('rounds')));
  await guest.end();
  return { passed: 1, failed: 0 };
}

/** Where the random numbers start. */
function firstSeed(): number {
  return options.seed === undefined ? Date.now() % 1_000_000_000 : integer('seed');
}

async function boot(name: string, o: Partial<BootOptions> = {}): Promise<Guest> {
  const { kernel } = options;
  if (!isKernel(kernel)) throw new Error(`there is no kernel ${kernel}`);
  const guest = await Guest.boot({
    kernel: kernelImage(kernel),
    initramfs: o.initramfs ?? initramfs(),
    console: join(cacheFolder(), `console-testbed-${name}.log`),
    memory: kernel === 'debug' ? 1024 : 512,
    // A test may run 10,000 times in one answer, on a machine that does other things too.
    answerMs: 30 * 60_000,
    ...o,
  });
  console.log(guest.hello.trim());
  return guest;
}

/** Packed once: a guest may still be starting from it. */
function initramfs(): string {
  archive ??= executorInitramfs();
  return archive;
}

function integer(name: 'programs' | 'length' | 'runs' | 'seed' | 'seconds' | 'rounds'): number {
  const value = Number(options[name]);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a number\n${USAGE}`);
  return value;
}

function isSuite(name: string): name is keyof typeof SUITES {
  return name in SUITES;
}

function isKernel(name: string): name is Exclude<KernelName, 'stock'> {
  return name === 'patched' || name === 'debug';
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(0)} s`;
}
