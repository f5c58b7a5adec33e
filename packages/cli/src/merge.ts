import { readFileSync } from 'node:fs';

/** One object of what `explore --json` prints. */
interface Row {
  readonly scenario: string;
  readonly kernel: string;
  readonly skipped?: string;
  readonly strategy?: string;
  readonly runs?: number;
  readonly exhaustive?: boolean;
  readonly covered?: string;
  readonly failures?: readonly Failure[];
}

interface Failure {
  readonly invariant: string;
  readonly step: string;
  readonly choices: number;
  readonly times: number;
}

/**
 * `usrdrv merge`: the results of all shards of a campaign as one. Failures that are the same are counted together, and the
 * shortest run of each stays.
 * @returns the exit code: 1 where something went wrong
 */
export function mergeCommand(files: readonly string[]): number {
  const merged = new Map<string, Row>();
  for (const file of files) {
    for (const row of rowsOf(file)) {
      const key = `${row.kernel} ${row.scenario}`;
      const known = merged.get(key);
      merged.set(key, known === undefined ? row : mergeRows(known, row));
    }
  }
  const rows = [...merged.values()].sort((a, b) => compare(a.scenario, b.scenario) || compare(a.kernel, b.kernel));
  process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
  return rows.some(({ failures = [] }) => failures.length > 0) ? 1 : 0;
}

function rowsOf(file: string): Row[] {
  const rows: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(rows) || !rows.every(isRow)) throw new TypeError(`${file} is not what explore --json prints`);
  return rows;
}

function isRow(row: unknown): row is Row {
  if (typeof row !== 'object' || row === null || !('scenario' in row) || !('kernel' in row)) return false;
  return typeof row.scenario === 'string' && typeof row.kernel === 'string' && ('skipped' in row || 'failures' in row);
}

function mergeRows(a: Row, b: Row): Row {
  if (a.skipped !== undefined || b.skipped !== undefined) return a;
  const failures = new Map<string, Failure>();
  for (const failure of [...(a.failures ?? []), ...(b.failures ?? [])]) {
    const key = `${failure.invariant} @ ${failure.step}`;
    const known = failures.get(key);
    const shorter = known === undefined || failure.choices < known.choices ? failure : known;
    failures.set(key, { ...shorter, times: failure.times + (known?.times ?? 0) });
  }
  const covered = [a.covered, b.covered].join('; ');
  return {
    ...a,
    runs: (a.runs ?? 0) + (b.runs ?? 0),
    exhaustive: a.exhaustive === true || b.exhaustive === true,
    covered,
    failures: [...failures.values()],
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
