import type { Row } from '@usrdrv/conformance';

/** What `usrdrv conformance --json` prints for a rule, and runConformance returns. */
export type RuleRow = Pick<Row, 'about' | 'passed' | 'failed' | 'skipped' | 'cases'> & { readonly id: string };

/** The results of one kernel. */
export interface Column {
  readonly name: string;
  readonly rows: readonly RuleRow[];
  /** The C tests that passed there, by name: `U4 UD2 the region must be there`. */
  readonly inC: readonly string[];
}

/**
 * One table, rule by rule: how many cases passed on each kernel, how many C tests of the rule did, and `-` where there is
 * neither; below it what failed, and each reason for which something was skipped, with its cases.
 */
export function table(columns: readonly Column[]): string {
  const widths = columns.map(({ name }) => Math.max(name.length, 20));
  const line = (id: string, cells: readonly string[], about: string): string =>
    `${id.padEnd(13)}${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}  ${about}`.trimEnd();
  const head = columns.map(({ name }) => name);
  const rules = (columns[0]?.rows ?? []).map(({ id, about }) => {
    const cells = columns.map((column) => cell(column, id));
    return line(id, cells, about);
  });
  return [line('rule', head, ''), ...rules, '', ...columns.flatMap(failures), ...skips(columns)].join('\n');
}

function cell({ rows, inC }: Column, id: string): string {
  const row = rows.find((each) => each.id === id);
  if (row === undefined) return 'MISSING';
  const tests = inC.filter((name) => rulesOf(name).includes(id)).length;
  const parts = [
    row.passed > 0 && `${row.passed} ok`,
    row.failed > 0 && `${row.failed} FAILED`,
    tests > 0 && `${tests} in C`,
    row.skipped > 0 && `${row.skipped} -`,
  ];
  return row.passed + row.failed + tests === 0 ? '-' : parts.filter(Boolean).join(', ');
}

/** The rules that a C test's name begins with. */
function rulesOf(name: string): string[] {
  const words = name.split(' ');
  const end = words.findIndex((word) => !/^(?:[A-Z]+\d+|MSI)$/.test(word));
  return words.slice(0, end);
}

function failures({ name, rows }: Column): string[] {
  return rows.flatMap(({ id, cases }) =>
    cases
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ title, reason }) => `FAILED on ${name}: ${id} ${title}\n  ${reason}`),
  );
}

function skips(columns: readonly Column[]): string[] {
  const reasons = new Map<string, Map<string, string[]>>();
  for (const { name, rows } of columns) {
    for (const { id, cases: all } of rows) {
      for (const { title, outcome, reason = '' } of all) {
        if (outcome !== 'skipped') continue;
        const cases = reasons.get(reason) ?? new Map<string, string[]>();
        reasons.set(reason, cases);
        const where = `${id} ${title}`;
        cases.set(where, [...(cases.get(where) ?? []), name]);
      }
    }
  }
  return [...reasons].flatMap(([reason, cases]) => [
    `skipped: ${reason}`,
    ...[...cases].map(([title, where]) => `    ${title}  (${where.join(', ')})`),
  ]);
}
