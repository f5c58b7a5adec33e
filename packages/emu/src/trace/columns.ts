import type { LineState, Moment, Recording } from '../explore/recording.ts';

/**
 * A run as a table: a row a step, a column for everyone who takes steps, and how each line is after the step. The step
 * stands in its actor's column; `>` marks where somebody else came in between. Of runs of whole drivers there is the time
 * too, in virtual milliseconds.
 */
export function columns(recording: Recording): string {
  const { actors, irqs, moments, violation, token } = recording;
  const timed = moments.some(({ time }) => time !== undefined);
  const heads = [
    'step',
    ...(timed ? ['ms'] : []),
    ...actors,
    ...irqs.map((irq) => `irq ${irq}: line mask depth count`),
  ];
  const rows = moments.map((moment, nth) => [
    `${nth}`,
    ...(timed ? [((moment.time ?? 0) / 1e6).toFixed(3)] : []),
    ...actors.map((actor) => cell(actor, moment)),
    ...moment.lines.map(lineCell),
  ]);
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const text = [heads, ...rows].map((row) =>
    row
      .map((each, at) => each.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const end = violation === undefined ? 'nothing is wrong' : `${violation.invariant}: ${violation.what}`;
  return `${text.join('\n')}\n${end}\n${token}\n`;
}

function cell(actor: string, { actor: who, step, preempted }: Moment): string {
  return who === actor ? `${preempted ? '> ' : ''}${step}` : '';
}

function lineCell({ asserted, masked, depth, count }: LineState): string {
  return `${' '.repeat(8)}${asserted ? 'high' : 'low '} ${masked ? 'yes ' : 'no  '} ${`${depth}`.padEnd(5)} ${count ?? '-'}`;
}
