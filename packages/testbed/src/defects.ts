import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Exhaustive, type ExploredFailure, explore, knownDefect, scenarioNamed } from '@usrdrv/emu';
import { packages } from './kernel.ts';

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
export function provokeDefects(): { readonly passed: number; readonly failed: number } {
  const { lines, complaints } = provoked();
  for (const complaint of complaints) console.log(complaint);
  let passed = 0;
  let failed = complaints.length;
  for (const { id, scenario, shows } of DEFECTS) {
    const found = explored(id, scenario);
    const real = GUESTS.map((guest) => ({ guest, line: lines.get(`${guest} ${id}`) }));
    const right = real.every(({ guest, line }) => line !== undefined && isShown(line) === shows.includes(guest));
    if (right && found !== undefined) passed++;
    else failed++;
    console.log(`${right && found !== undefined ? 'ok' : 'not ok'} ${id}`);
    for (const { guest, line = 'did not say' } of real) console.log(`  ${guest.padEnd(8)} ${line}`);
    console.log(
      `  ${'emu'.padEnd(8)} ${found === undefined ? 'not found' : `${found.violation.what}: ${found.token}`}`,
    );
  }
  return { passed, failed };
}

/** What the guests said of each defect, by guest and defect; and what else went wrong. */
function provoked(): { readonly lines: ReadonlyMap<string, string>; readonly complaints: readonly string[] } {
  const script = join(packages, 'kernel-patch', 'scripts', 'test-defects.sh');
  const { stdout, status } = spawnSync('sh', [script, ...GUESTS], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = new Map<string, string>();
  const complaints = status === 0 ? [] : [`not ok ${script} ended with ${status}`];
  let guest = '';
  for (const line of stdout.split('\n')) {
    const [first = '', ...rest] = line.split(' ');
    if (first === '#') guest = rest.join(' ');
    else if (/^D\d+$/.test(first)) lines.set(`${guest} ${first}`, rest.join(' '));
    else if (line !== '') complaints.push(`${line} (${guest})`);
  }
  return { lines, complaints };
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
