import type { Row, RuleId, RunOptions } from '@usrdrv/conformance';
import { conformanceRows, type HostOptions } from './backends.ts';
import { progress, type Style, styleOf } from './terminal.ts';

export interface ConformanceOptions extends HostOptions {
  readonly json?: boolean;
  readonly progress?: boolean;
  readonly msi?: boolean;
  readonly rules?: readonly RuleId[];
}

/**
 * `usrdrv conformance`: runs the suite and prints a row for each rule.
 * @returns the exit code: 1 where a case failed
 */
export async function conformance(o: ConformanceOptions): Promise<number> {
  const bar = progress();
  let rows: Row[];
  try {
    const onProgress: RunOptions['onProgress'] = (done, all, name) => {
      if (o.progress) process.stderr.write(`${name}\n`);
      else bar.show(done / all, () => name);
    };
    rows = await conformanceRows(o, { onProgress, ...(o.rules && { rules: o.rules }) });
  } finally {
    bar.end();
  }
  process.stdout.write(
    o.json ? `${JSON.stringify(rows.map(jsonRow), undefined, 2)}\n` : table(rows, styleOf(process.stdout)),
  );
  return rows.some(({ failed }) => failed > 0) ? 1 : 0;
}

/** What scripts read. */
function jsonRow({ id, about, passed, failed, skipped, cases }: Row) {
  const reasons = (outcome: string) =>
    cases.filter((c) => c.outcome === outcome).map(({ title, reason }) => ({ case: title, reason }));
  const failures = reasons('failed');
  return { id, about, passed, failed, skipped, failures, skips: reasons('skipped'), cases };
}

function table(rows: readonly Row[], style: Style): string {
  const lines = rows.flatMap((row) => [
    `${mark(row, style)} ${row.id.padEnd(5)} ${row.about}`,
    ...row.cases.flatMap((c) => {
      if (c.outcome === 'failed') return [style.red(`      failed: ${c.title}: ${c.reason}`)];
      return c.outcome === 'skipped' ? [style.dim(`      skipped: ${c.title}: ${c.reason}`)] : [];
    }),
  ]);
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0);
  const total = `${sum((row) => row.passed)} passed, ${sum((row) => row.failed)} failed, ${sum((row) => row.skipped)} skipped`;
  return `${[...lines, '', `${rows.length} rules: ${total}`].join('\n')}\n`;
}

function mark({ passed, failed }: Row, style: Style): string {
  if (failed > 0) return style.red('FAIL');
  return passed > 0 ? style.green('ok  ') : style.dim('skip');
}
