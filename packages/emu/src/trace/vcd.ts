import type { Recording, ThreadState } from '../explore/recording.ts';

/** One signal of the dump: its value at a moment, as an integer; undefined shows as unknown. */
interface Signal {
  readonly name: string;
  readonly scope: string;
  readonly bits: number;
  value(moment: number): number | undefined;
}

const THREAD_STATES: readonly ThreadState[] = ['user', 'kernel', 'asleep', 'woken', 'done'];
const COUNT_BITS = 32;
const DEPTH_BITS = 8;

/**
 * A run as a value change dump (IEEE 1364-2005, section 18), for GTKWave and its like. A step takes a microsecond. For
 * each line: line, mask, disabled, depth, count (two's complement); for each thread: state (0 in user space, 1 in the
 * kernel, 2 asleep, 3 woken, 4 done), wake (1 in the step that wakes it), and runs.
 */
export function vcd(recording: Recording): string {
  const signals = signalsOf(recording);
  const out = [
    '$version usrdrv $end',
    `$comment ${recording.token} $end`,
    '$timescale 1 us $end',
    '$scope module emu $end',
  ];
  for (const scope of new Set(signals.map((signal) => signal.scope))) {
    out.push(`$scope module ${scope} $end`);
    for (const [nth, signal] of signals.entries()) {
      if (signal.scope !== scope) continue;
      out.push(`$var ${signal.bits === 1 ? 'wire' : 'reg'} ${signal.bits} ${code(nth)} ${signal.name} $end`);
    }
    out.push('$upscope $end');
  }
  out.push('$upscope $end', '$enddefinitions $end');
  const last = signals.map((): string | undefined => undefined);
  for (const at of recording.moments.keys()) {
    const changes: string[] = [];
    for (const [nth, signal] of signals.entries()) {
      const change = format(signal, signal.value(at), code(nth));
      if (change === last[nth]) continue;
      last[nth] = change;
      changes.push(change);
    }
    if (changes.length > 0 || at === 0) out.push(`#${at}`, ...(at === 0 ? ['$dumpvars', ...changes, '$end'] : changes));
  }
  out.push(`#${recording.moments.length}`);
  return `${out.join('\n')}\n`;
}

function signalsOf({ irqs, threads, moments, actors }: Recording): Signal[] {
  const signals: Signal[] = [];
  for (const [nth, irq] of irqs.entries()) {
    const scope = `irq${irq}`;
    const line = (at: number) => moments[at]?.lines[nth];
    signals.push(
      { scope, name: 'line', bits: 1, value: (at) => Number(line(at)?.asserted) },
      { scope, name: 'mask', bits: 1, value: (at) => Number(line(at)?.masked) },
      { scope, name: 'disabled', bits: 1, value: (at) => Number(line(at)?.disabled) },
      { scope, name: 'depth', bits: DEPTH_BITS, value: (at) => line(at)?.depth },
      { scope, name: 'count', bits: COUNT_BITS, value: (at) => line(at)?.count },
    );
  }
  for (const [nth, thread] of threads.entries()) {
    const scope = `thread_${word(thread)}`;
    const state = (at: number) => moments[at]?.threads[nth];
    const wakes = (at: number) => state(at) === 'woken' && state(at - 1) === 'asleep';
    signals.push(
      { scope, name: 'state', bits: 3, value: (at) => THREAD_STATES.indexOf(state(at) ?? 'user') },
      { scope, name: 'wake', bits: 1, value: (at) => Number(wakes(at)) },
    );
  }
  for (const actor of actors) {
    signals.push({ scope: 'runs', name: word(actor), bits: 1, value: (at) => Number(moments[at]?.actor === actor) });
  }
  return signals;
}

function format({ bits }: Signal, value: number | undefined, id: string): string {
  if (bits === 1) return `${value ?? 'x'}${id}`;
  if (value === undefined) return `bx ${id}`;
  return `b${(value >>> 0).toString(2).slice(-bits)} ${id}`;
}

/** VCD's short names are of the printable characters from ! to ~. */
function code(nth: number): string {
  const digits = 94;
  const low = String.fromCharCode(33 + (nth % digits));
  return nth < digits ? low : `${code(Math.floor(nth / digits) - 1)}${low}`;
}

function word(name: string): string {
  return name.replaceAll(/\W/g, '_');
}
