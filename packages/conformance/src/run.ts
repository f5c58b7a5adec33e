import type { KernelProfile } from '@usrdrv/core';
import { type MachineAbility, type MachineOptions, type SuiteSupports, supportsOf, type Target } from './bench.ts';
import { type Case, nameOf, skipReason } from './case.ts';
import { CASES } from './cases/index.ts';
import { Context } from './context.ts';
import { RULES, type RuleId } from './rules.ts';

/** Gives a fresh target for a case, of the machine that it wants, and takes it back. */
export interface Bed<T extends Target> {
  readonly setup: (machine: MachineOptions) => T | Promise<T>;
  readonly teardown: (target: T) => void | Promise<void>;
}

/** What {@link conformance} is given. */
export interface SuiteOptions<T extends Target = Target> extends Bed<T> {
  /** Any runner's: vitest's `test`, node:test's, mocha's `it`. */
  readonly test: (name: string, run: () => Promise<void>) => void;
  /** Reports a case that is not run. */
  readonly skip: (name: string, reason: string) => void;
  /** What the target promises; see {@link supportsOf}. */
  readonly supports: SuiteSupports;
}

/**
 * Declares the suite with a test runner: a test for each case that the target can run, a skip with its reason for each
 * that it cannot.
 */
export function conformance<T extends Target>({ test, skip, supports, ...bed }: SuiteOptions<T>): void {
  for (const c of casesOf(supports.profile)) {
    const reason = skipReason(c, supports.missing);
    if (reason === undefined) test(nameOf(c), () => runCase(c, bed));
    else skip(nameOf(c), reason);
  }
}

/** How one case ended. */
export interface CaseResult {
  readonly title: string;
  readonly level: 'syscall' | 'driver';
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or how it failed. */
  readonly reason?: string;
}

/** How the cases of one rule ended. */
export interface Row {
  readonly id: RuleId;
  readonly about: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cases: readonly CaseResult[];
}

/** What {@link runConformance} is given. */
export interface RunOptions<T extends Target = Target> extends Bed<T> {
  /** The reason for each machine other than the usual one that cannot be had. */
  readonly machines?: Partial<Record<MachineAbility, string>>;
  /** Only these rules. */
  readonly rules?: readonly RuleId[];
  /** Called before each case: so many of so many are done. */
  readonly onProgress?: (done: number, all: number, name: string) => void;
}

/**
 * Runs the suite without a test runner.
 * @returns a row for each rule of the target's kernel, in the order of {@link RULES}
 */
export async function runConformance<T extends Target>({
  machines,
  rules,
  onProgress,
  ...bed
}: RunOptions<T>): Promise<Row[]> {
  const target = await bed.setup({});
  const { profile, missing } = supportsOf(target, machines);
  await bed.teardown(target);

  const cases = casesOf(profile).filter(({ id }) => rules === undefined || rules.includes(id));
  const results = new Map<RuleId, CaseResult[]>();
  for (const [done, c] of cases.entries()) {
    onProgress?.(done, cases.length, nameOf(c));
    const result = await outcome(c, bed, skipReason(c, missing));
    results.set(c.id, [...(results.get(c.id) ?? []), result]);
  }
  return [...results].map(([id, of]) => row(id, of));
}

function row(id: RuleId, cases: readonly CaseResult[]): Row {
  const number = (outcome: CaseResult['outcome']): number => cases.filter((c) => c.outcome === outcome).length;
  const [about] = RULES[id];
  return { id, about, passed: number('passed'), failed: number('failed'), skipped: number('skipped'), cases };
}

async function outcome<T extends Target>(c: Case, bed: Bed<T>, reason: string | undefined): Promise<CaseResult> {
  const { title, level } = c;
  if (reason !== undefined) return { title, level, outcome: 'skipped', reason };
  try {
    await runCase(c, bed);
    return { title, level, outcome: 'passed' };
  } catch (error) {
    return { title, level, outcome: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

async function runCase<T extends Target>(c: Case, { setup, teardown }: Bed<T>): Promise<void> {
  if ('never' in c) throw new Error(`${nameOf(c)} is never run: ${c.never}`);
  const target = await setup(c.machine ?? {});
  try {
    await c.run(new Context(c.id, target));
  } finally {
    await teardown(target);
  }
}

/** The cases that a kernel has to pass, rule by rule in the order of {@link RULES}. */
export function casesOf(profile: KernelProfile): readonly Case[] {
  const order = Object.keys(RULES);
  return CASES.filter((c) => c.kernel === undefined || c.kernel === profile)
    .filter((c) => RULES[c.id][1].includes(profile))
    .sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
}
