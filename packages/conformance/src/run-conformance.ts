import { type MachineAbility, supportsOf, type Target } from './bench.ts';
import { type Bed, type Planned, type ProgramOptions, plan } from './plan.ts';
import { RULES, type RuleId } from './rules.ts';

/** What {@link runConformance} is given. */
export interface RunOptions<T extends Target = Target> extends Bed<T>, ProgramOptions {
  /** The reason for each machine other than the usual one that cannot be had. */
  readonly machines?: Partial<Record<MachineAbility, string>>;
  /** Only these rules. */
  readonly rules?: readonly RuleId[];
  /** Called before each case: so many of so many are done. */
  readonly onProgress?: (done: number, all: number, name: string) => void;
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

/**
 * Runs the suite without a test runner.
 * @returns a row for each rule of the target's kernel, in the order of {@link RULES}
 */
export async function runConformance<T extends Target>(o: RunOptions<T>): Promise<Row[]> {
  const target = await o.setup({});
  const supports = supportsOf(target, o.machines);
  await o.teardown(target);

  const planned = plan(supports, o, o).filter((each) => o.rules?.includes(each.case.id) ?? true);
  const results = new Map<RuleId, CaseResult[]>();
  for (const [done, each] of planned.entries()) {
    o.onProgress?.(done, planned.length, each.name);
    const { id } = each.case;
    results.set(id, [...(results.get(id) ?? []), await outcome(each)]);
  }
  return [...results].map(([id, cases]) => row(id, cases));
}

function row(id: RuleId, cases: readonly CaseResult[]): Row {
  const number = (outcome: CaseResult['outcome']): number => cases.filter((c) => c.outcome === outcome).length;
  const [about] = RULES[id];
  return { id, about, passed: number('passed'), failed: number('failed'), skipped: number('skipped'), cases };
}

async function outcome({ case: { title, level }, reason, run }: Planned): Promise<CaseResult> {
  if (reason !== undefined) return { title, level, outcome: 'skipped', reason };
  try {
    await run();
    return { title, level, outcome: 'passed' };
  } catch (error) {
    return { title, level, outcome: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}
