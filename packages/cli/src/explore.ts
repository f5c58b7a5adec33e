import { writeFileSync } from 'node:fs';
import type { KernelProfile } from '@usrdrv/core';
import {
  columns,
  Exhaustive,
  type Exploration,
  explore,
  exploreScenario,
  knownDefect,
  PartialOrder,
  Pct,
  Portfolio,
  parseToken,
  perfetto,
  RandomDeviations,
  RandomWalk,
  type Recording,
  record,
  recordScenario,
  type Strategy,
  type ThreadScenario,
  vcd,
} from '@usrdrv/emu';
import { ALL_SCENARIOS, type AnyScenario, findScenario, isOfThreads } from './scenarios.ts';
import { progress, type Style, styleOf } from './terminal.ts';

export const STRATEGIES = ['exhaustive', 'dpor', 'delay', 'random', 'pct', 'portfolio', 'calm'] as const;

export interface ExploreOptions {
  readonly kernel: KernelProfile;
  readonly scenario: string;
  readonly strategy: (typeof STRATEGIES)[number];
  readonly bound: number;
  readonly runs: number;
  readonly seed: number;
  readonly json?: boolean;
  /** This part of a campaign, of so many. */
  readonly shard?: Shard;
}

/** Part `index` (from 0) of `of`. Exhaustive strategies share out the scenarios, the others the seeds. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

/**
 * `usrdrv explore`: runs scenarios in every way that the strategy has, and prints what goes wrong.
 * @returns the exit code: 1 where something went wrong
 */
export async function exploreCommand(o: ExploreOptions): Promise<number> {
  const style = styleOf(process.stdout);
  const all = o.scenario === 'all' ? ALL_SCENARIOS : [findScenario(o.scenario)];
  const scenarios = all.filter((_scenario, nth) => isMine(nth, o));
  const bar = progress();
  const results: Result[] = [];
  try {
    for (const [nth, scenario] of scenarios.entries()) {
      bar.show(nth / scenarios.length, () => scenario.name);
      const result = await exploreOne(scenario, o);
      results.push(result);
      if (!o.json) process.stdout.write(describe(scenario, result, style));
    }
  } finally {
    bar.end();
  }
  if (o.json) process.stdout.write(`${JSON.stringify(results.map(jsonRow), undefined, 2)}\n`);
  return results.some((result) => 'failures' in result && result.failures.length > 0) ? 1 : 0;
}

/** Either it was explored, or it is not for this kernel. */
type Result = Exploration | { readonly scenario: string; readonly kernel: KernelProfile; readonly skipped: string };

async function exploreOne(scenario: AnyScenario, o: ExploreOptions): Promise<Result> {
  const { kernel, runs } = o;
  if (scenario.only !== undefined && scenario.only.kernel !== kernel) {
    return { scenario: scenario.name, kernel, skipped: scenario.only.because };
  }
  if (isOfThreads(scenario)) return explore(scenario, { kernel, runs, strategy: strategyOf(o, scenario) });
  return exploreScenario(scenario, { kernel, runs, strategy: driverStrategyOf(o) });
}

/** Whether the nth scenario is this shard's. */
function isMine(nth: number, { shard, strategy }: ExploreOptions): boolean {
  return shard === undefined || isSeeded(strategy) || nth % shard.of === shard.index;
}

function isSeeded(strategy: ExploreOptions['strategy']): boolean {
  return strategy === 'random' || strategy === 'pct' || strategy === 'portfolio';
}

function strategyOf(
  { strategy, bound, seed: first, shard }: ExploreOptions,
  { mostPreemptions = bound }: ThreadScenario,
): Strategy {
  const seed = seedOf(first, shard);
  switch (strategy) {
    case 'exhaustive':
      return new Exhaustive(Math.min(bound, mostPreemptions));
    case 'dpor':
      return new PartialOrder();
    case 'delay':
      return new Exhaustive(bound, 'delays');
    case 'random':
      return new RandomWalk(seed);
    case 'pct':
      return new Pct(seed, bound + 1);
    case 'portfolio':
      return new Portfolio([new Exhaustive(bound), new Pct(seed, bound + 1), new RandomWalk(seed), new PartialOrder()]);
    case 'calm':
      return new Exhaustive(0, 'delays');
  }
}

/** The same for whole drivers, whose runs are long and take a thousand times as long: by deviations, of which one is many. */
function driverStrategyOf({ strategy, bound, seed: first, shard }: ExploreOptions): Strategy {
  const seed = seedOf(first, shard);
  switch (strategy) {
    case 'exhaustive':
    case 'dpor':
      return new Exhaustive(Math.min(bound, DRIVER_DEVIATIONS), 'delays');
    case 'delay':
      return new Exhaustive(bound, 'delays');
    case 'random':
      return new RandomDeviations(seed, MOST_RANDOM);
    case 'pct':
      return new RandomDeviations(seed, bound, true);
    case 'portfolio':
      return new Portfolio([new Exhaustive(bound, 'delays'), new RandomDeviations(seed, MOST_RANDOM)]);
    case 'calm':
      return new Exhaustive(0, 'delays');
  }
}

/** What an exhaustive search of whole drivers goes through in seconds; `--strategy delay` goes as far as it is told. */
const DRIVER_DEVIATIONS = 1;
const MOST_RANDOM = 4;

function seedOf(first: number, shard: Shard | undefined): number {
  return shard === undefined ? first : first * shard.of + shard.index;
}

/** What scripts read. */
function jsonRow(result: Result) {
  if ('skipped' in result) return result;
  const { scenario, kernel, strategy, runs, exhaustive, covered, failures } = result;
  return {
    scenario,
    kernel,
    strategy,
    runs,
    exhaustive,
    covered,
    failures: failures.map(({ violation, token, tape, times, foundAt }) => ({
      defect: kernel === 'chubb-2.6.11' ? knownDefect(scenario, violation) : undefined,
      ...violation,
      token,
      choices: tape.size,
      times,
      foundAt,
    })),
  };
}

function describe(scenario: AnyScenario, result: Result, style: Style): string {
  const head = `${style.bold(scenario.name)}: ${scenario.about ?? ''}`;
  if ('skipped' in result) return `${head}\n  ${style.dim(`not for ${result.kernel}: ${result.skipped}`)}\n`;
  const { kernel, covered, failures } = result;
  const lines = failures.flatMap(({ violation, token }) => {
    const defect = kernel === 'chubb-2.6.11' ? knownDefect(scenario.name, violation) : undefined;
    const what = `${defect === undefined ? '' : `${defect} `}${violation.invariant}: ${violation.what}`;
    return [`  ${style.red(what)}`, `  usrdrv replay ${token}`];
  });
  if (failures.length === 0) lines.push(`  ${style.green('nothing is wrong')}`);
  return `${head}\n  ${style.dim(covered)}\n${lines.join('\n')}\n`;
}

/**
 * `usrdrv replay`: has runs again from their tokens, and shows them.
 * @returns the exit code: 1 where one goes wrong
 */
export async function replayCommand(
  tokens: readonly string[],
  o: { readonly vcd?: string; readonly perfetto?: string },
): Promise<number> {
  let code = 0;
  for (const token of tokens) {
    const recording = await recorded(token);
    if (o.vcd !== undefined) writeFileSync(o.vcd, vcd(recording));
    if (o.perfetto !== undefined) writeFileSync(o.perfetto, perfetto(recording));
    process.stdout.write(columns(recording));
    if (recording.violation !== undefined) code = 1;
  }
  return code;
}

async function recorded(token: string): Promise<Recording> {
  const scenario = findScenario(parseToken(token).scenario);
  return isOfThreads(scenario) ? record(token, scenario) : recordScenario(token, scenario);
}
