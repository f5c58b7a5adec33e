import type { Recording } from '../explore/recording.ts';

/** An event of the Trace Event Format, as far as it is used here. Times are microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly ph: 'M' | 'X' | 'C' | 'i';
  readonly pid: number;
  readonly tid?: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly s?: 'g';
  readonly args?: Readonly<Record<string, string | number>>;
}

const PID = 1;

/**
 * A run in the Trace Event Format, which ui.perfetto.dev and chrome://tracing open: a track for everyone who takes steps,
 * a counter for the count and the depth of each line, and a mark where something went wrong. A step takes a microsecond.
 */
export function perfetto({ token, actors, irqs, moments, violation }: Recording): string {
  const events: TraceEvent[] = [{ name: 'process_name', ph: 'M', pid: PID, args: { name: token } }];
  for (const [nth, name] of actors.entries()) {
    events.push({ name: 'thread_name', ph: 'M', pid: PID, tid: nth + 1, args: { name } });
  }
  for (const [ts, { actor, step, lines }] of moments.entries()) {
    events.push({ name: step, ph: 'X', pid: PID, tid: actors.indexOf(actor) + 1, ts, dur: 1 });
    for (const [nth, { asserted, masked, depth, count = 0 }] of lines.entries()) {
      const args = { line: Number(asserted), mask: Number(masked), depth, count };
      events.push({ name: `irq ${irqs[nth]}`, ph: 'C', pid: PID, ts, args });
    }
  }
  if (violation !== undefined) {
    const { invariant, what } = violation;
    events.push({ name: invariant, ph: 'i', pid: PID, tid: 1, ts: moments.length, s: 'g', args: { what } });
  }
  return `${JSON.stringify({ displayTimeUnit: 'ns', traceEvents: events })}\n`;
}
