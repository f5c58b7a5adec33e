import type { RuleRow } from './rows.ts';

/** The results of one backend. */
export interface BackendResults {
  readonly name: string;
  readonly rows: readonly RuleRow[];
}

/**
 * Promise by backend: each case that drivers can see, and how it ended on each backend: `ok`, `FAILED`, or the number of the
 * reason why it was skipped, which stands below. A cell without a result says MISSING.
 */
export function matrix(backends: readonly BackendResults[]): string {
  const reasons = new Map<string, number>();
  const numberOf = (reason: string): number => {
    const number = reasons.get(reason) ?? reasons.size + 1;
    reasons.set(reason, number);
    return number;
  };
  const outcomes = backends.map(({ rows }) => outcomesOf(rows));
  const names = backends.map(({ name }) => name);
  const line = (cells: readonly string[], promise: string): string =>
    `${cells.map((cell, at) => cell.padEnd(names[at]?.length ?? 0)).join('  ')}  ${promise}`.trimEnd();

  const promises = [...new Set(outcomes.flatMap((each) => [...each.keys()]))];
  const lines = promises.map((promise) => {
    const cells = outcomes.map((each) => {
      const { outcome, reason = '' } = each.get(promise) ?? {};
      if (outcome === undefined) return 'MISSING';
      if (outcome === 'skipped') return `[${numberOf(reason)}]`;
      return outcome === 'passed' ? 'ok' : 'FAILED';
    });
    return line(cells, promise);
  });
  const notes = [...reasons].map(([reason, number]) => `[${number}] skipped: ${reason}`);
  return [line(names, 'promise by backend'), ...lines, '', ...failures(backends), ...notes].join('\n');
}

function failures(backends: readonly BackendResults[]): string[] {
  return backends.flatMap(({ name, rows }) =>
    [...outcomesOf(rows)]
      .filter(([, { outcome }]) => outcome === 'failed')
      .map(([promise, { reason }]) => `FAILED on ${name}: ${promise}\n  ${reason}`),
  );
}

type CaseResult = RuleRow['cases'][number];

function outcomesOf(rows: readonly RuleRow[]): Map<string, CaseResult> {
  const cases = rows.flatMap(({ id, cases }) => cases.map((each) => ({ id, each })));
  return new Map(
    cases.filter(({ each }) => each.level === 'driver').map(({ id, each }) => [`${id} ${each.title}`, each]),
  );
}
