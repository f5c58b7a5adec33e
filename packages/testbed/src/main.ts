import { parseArgs } from 'node:util';
import { type KernelName, kernelImage, requirePackages } from './kernel.ts';
import { Places } from './places.ts';
import { Report } from './report.ts';
import {
  type Counts,
  HARD_USE_KERNEL,
  STOCK_SUITES,
  SUITES,
  type SuiteName,
  type SuiteOptions,
  seconds,
  suites,
} from './suites.ts';

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
  --kernel <name>  patched, or debug for the one with KASAN and lockdep, which stress always has`;

const USUAL: readonly SuiteName[] = ['kernel', 'conformance', 'programs', 'litmus', 'defects'];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    programs: { type: 'string', default: '20000' },
    length: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    replay: { type: 'string' },
    runs: { type: 'string', default: '10000' },
    test: { type: 'string', default: '' },
    seconds: { type: 'string', default: '600' },
    rounds: { type: 'string', default: '2000' },
    kernel: { type: 'string', default: 'patched' },
    help: { type: 'boolean', default: false },
  },
});

/** Guests that run at once: they wait now and then, and two processors should not. */
const PLACES = 3;

if (options.help) {
  console.log(USAGE);
} else {
  await runSuites(positionals.length === 0 ? USUAL : positionals.map(suiteName));
}

/** All at once, as far as there are places for their guests; each shows what it has to say when it is its turn. */
async function runSuites(names: readonly SuiteName[]): Promise<void> {
  const start = performance.now();
  requirePackages();
  const all = suites(suiteOptions(), new Places(PLACES));
  // Guests are waited for from when they boot, so that nothing is built then.
  for (const kernel of kernelsOf(names)) kernelImage(kernel);
  const running = new Map(
    SUITES.filter((name) => names.includes(name)).map((name) => {
      const report = new Report();
      return [name, { report, ended: ended(all[name], report) }];
    }),
  );
  let passed = 0;
  let failed = 0;
  for (const name of names) {
    console.log(`\n== ${name}`);
    running.get(name)?.report.show();
    const counts = await running.get(name)?.ended;
    passed += counts?.passed ?? 0;
    failed += counts?.failed ?? 0;
  }
  console.log(`\nafter ${seconds(start)}\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** A suite that cannot go on has failed. */
async function ended(suite: (report: Report) => Promise<Counts>, report: Report): Promise<Counts> {
  try {
    return await suite(report);
  } catch (error) {
    report.print(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    return { passed: 0, failed: 1 };
  }
}

function kernelsOf(names: readonly SuiteName[]): Set<KernelName> {
  const stock = names.some((name) => STOCK_SUITES.includes(name));
  const own = names.some((name) => name !== 'stress') ? [kernelName(options.kernel)] : [];
  const hardUse = names.includes('stress') ? ([HARD_USE_KERNEL] as const) : [];
  return new Set([...own, ...hardUse, ...(stock ? (['patched', 'stock'] as const) : [])]);
}

function suiteOptions(): SuiteOptions {
  const { replay, test, kernel } = options;
  return {
    kernel: kernelName(kernel),
    programs: integer('programs'),
    length: integer('length'),
    seed: integer('seed'),
    ...(replay !== undefined && { replay }),
    runs: integer('runs'),
    test,
    seconds: integer('seconds'),
    rounds: integer('rounds'),
  };
}

function integer(name: 'programs' | 'length' | 'runs' | 'seed' | 'seconds' | 'rounds'): number {
  const value = Number(options[name]);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a number\n${USAGE}`);
  return value;
}

function suiteName(text: string): SuiteName {
  const name = SUITES.find((each) => each === text);
  if (name === undefined) throw new Error(`there is no suite ${text}\n${USAGE}`);
  return name;
}

function kernelName(name: string): SuiteOptions['kernel'] {
  if (name === 'patched' || name === 'debug') return name;
  throw new Error(`there is no kernel ${name}\n${USAGE}`);
}
