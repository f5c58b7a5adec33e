import { heldBy } from '../explore/machine-invariants.ts';
import { RecordingOracle } from '../explore/recording-oracle.ts';
import type { DmaReport } from '../machine/dma-debug.ts';
import { Machine } from '../machine/machine.ts';

/** What a matcher of vitest, or of jest, gives. */
export interface MatcherResult {
  readonly pass: boolean;
  readonly message: () => string;
}

/** Reports that a message has room for. */
const MOST_REPORTS = 5;

/** No misuse of DMA so far (M6). */
export function toHaveNoDmaReports(received: unknown): MatcherResult {
  const machine = asMachine(received);
  const { reports, errors } = machine.dmaDebug;
  return result(machine, 'DMA reports', errors, reports.slice(0, MOST_REPORTS).map(describeReport));
}

/** The kernel has complained about nothing so far: no unbalanced enable, no interrupt that nobody cared about (I4, I6). */
export function toHaveNoKernelWarnings(received: unknown): MatcherResult {
  const machine = asMachine(received);
  const warnings = [...machine.irqs.warnings, ...machine.kernel.usrPci.warnings];
  return result(machine, 'kernel warnings', warnings.length, warnings);
}

/**
 * Nothing is held any more, as after the backend was closed (U2): no file is open, no line claimed, no page pinned or
 * allocated, no function a bus master.
 */
export function toHaveReleasedEverything(received: unknown): MatcherResult {
  const machine = asMachine(received);
  const held = heldBy(machine);
  return result(machine, 'resources that are still held', held.length, held);
}

function result(machine: Machine, what: string, total: number, lines: readonly string[]): MatcherResult {
  const more = total > lines.length ? [`and ${total - lines.length} more`] : [];
  const list = [...lines, ...more].map((line) => `\n  - ${line}`).join('');
  return {
    pass: total === 0,
    message: () =>
      total === 0
        ? `expected the machine to have ${what}, but it has none${thisRun(machine)}`
        : `expected the machine to have no ${what}, but it has ${total}:${list}${thisRun(machine)}`,
  };
}

/** How to have the run again, where its oracle has recorded it. */
function thisRun({ oracle, kernel }: Machine): string {
  return oracle instanceof RecordingOracle ? `\n\nthis run: ${oracle.token(kernel.profile)}` : '';
}

function describeReport(report: DmaReport): string {
  const mapped = caller(report.stackOfMap);
  const misused = caller(report.stackOfMisuse);
  return `${report}${mapped && `\n      mapped ${mapped}`}${misused && `\n      misused ${misused}`}`;
}

/** Frames of these packages: who called into them is more interesting. */
const OURS = /[/\\](?:emu|core)[/\\](?:src|dist)[/\\](?!.*[.]test[.])/;

/** The first frame of a stack that is not ours: `at Edu.write (driver.ts:12:3)`. */
function caller(stack: string | undefined): string {
  // What a generator is resumed through is nowhere.
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at .*:\d+[)]?$/.test(line));
  return (frames.find((frame) => !OURS.test(frame)) ?? '').trim();
}

function asMachine(received: unknown): Machine {
  if (received instanceof Machine) return received;
  throw new TypeError('these matchers are for a Machine: expect(backend.machine)');
}
