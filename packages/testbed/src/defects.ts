import { Exhaustive, type ExploredFailure, explore, knownDefect, scenarioNamed } from '@usrdrv/emu';
import { kernelScript } from './kernel-tests.ts';
import type { Places } from './places.ts';
import type { Report } from './report.ts';

/** A defect of the 2005 irq file, where the explorer finds it, and which real kernels have it. */
interface Defect {
  readonly id: string;
  readonly scenario: string;
  /** Guests of kernel-patch/scripts/test-defects.sh in which it shows. */
  readonly shows: readonly GuestName[];
}

/** Linux 6.1 with the irq file of 2005, and with ours. */
const GUESTS = ['2005', 'patched'] as const;
type GuestName = (typeof GUESTS)[number];

const DEFECTS: readonly Defect[] = [
  { id: 'D1', scenario: 'two-readers', shows: ['2005'] },
  { id: 'D2', scenario: 'two-readers', shows: ['2005'] },
  { id: 'D3', scenario: 'two-processors', shows: ['2005'] },
  { id: 'D4', scenario: 'two-processors', shows: ['2005'] },
  { id: 'D5', scenario: 'two-readers-again', shows: ['2005'] },
  // 2.6.11 ran the handler of an edge line again without a look at whether it is disabled; 6.1 looks (I9).
  { id: 'D6', scenario: 'edge', shows: [] },
  { id: 'D7', scenario: 'nonblocking', shows: ['2005'] },
  // It follows from P5.
  { id: 'D8', scenario: 'epoll-edge', shows: ['2005', 'patched'] },
  { id: 'D9', scenario: 'edge-close', shows: ['2005'] },
  { id: 'D15', scenario: 'epoll-level', shows: ['2005'] },
];

/** Provokes each defect in QEMU and on the emulated kernel, and shows both. How many are as they should be. */
export async function provokeDefects(
  report: Report,
  places: Places,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const guests = await Promise.all(GUESTS.map((guest) => places.use(() => provoked(guest))));
  const complaints = guests.flatMap(({ complaints }) => complaints);
  for (const complaint of complaints) report.print(complaint);
  let passed = 0;
  let failed = complaints.length;
  for (const { id, scenario, shows } of DEFECTS) {
    const found = explored(id, scenario);
    const real = guests.map(({ guest, lines }) => ({ guest, line: lines.get(id) }));
    const right = real.every(({ guest, line }) => line !== undefined && isShown(line) === shows.includes(guest));
    if (right && found !== undefined) passed++;
    else failed++;
    report.print(`${right && found !== undefined ? 'ok' : 'not ok'} ${id}`);
    for (const { guest, line = 'did not say' } of real) report.print(`  ${guest.padEnd(8)} ${line}`);
    report.print(
      `  ${'emu'.padEnd(8)} ${found === undefined ? 'not found' : `${found.violation.what}: ${found.token}`}`,
    );
  }
  return { passed, failed };
}

/** What a guest said of each defect; and what else went wrong. */
async function provoked(guest: GuestName): Promise<{
  readonly guest: GuestName;
  readonly lines: ReadonlyMap<string, string>;
  readonly complaints: readonly string[];
}> {
  const { status, output } = await kernelScript('test-defects.sh', guest);
  const lines = new Map<string, string>();
  const complaints = status === 0 ? [] : [`not ok the guest ${guest} ended with ${status}`];
  for (const line of output.split('\n')) {
    const [first = '', ...rest] = line.split(' ');
    if (/^D\d+$/.test(first)) lines.set(first, rest.join(' '));
    else if (line !== '' && first !== '#') complaints.push(`${line} (${guest})`);
  }
  return { guest, lines, complaints };
}

function isShown(line: string): boolean {
  return line.startsWith('shown ');
}

/** The shortest run in which the emulated 2005 kernel shows it, with the fewest preemptions. */
function explored(id: string, name: string): ExploredFailure | undefined {
  for (let preemptions = 0; preemptions <= MOST_PREEMPTIONS; preemptions++) {
    const strategy = new Exhaustive(preemptions);
    const { failures } = explore(scenarioNamed(name), { kernel: 'chubb-2.6.11', strategy });
    const found = failures.find(({ violation }) => knownDefect(name, violation) === id);
    if (found !== undefined) return found;
  }
  return undefined;
}
const MOST_PREEMPTIONS = 2;
