import { runConformance } from '@usrdrv/conformance';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import type { KernelName } from '../kernel.ts';
import { kernelTests } from '../kernel-tests.ts';
import { demoChecks } from './demos.ts';
import { NodeGuest } from './node-guest.ts';
import { type Column, type RuleRow, table } from './rows.ts';
import { unplugChecks } from './unplug.ts';

/** What was held against its promise, by name: nothing, or what was wrong. */
export interface Check {
  readonly name: string;
  readonly wrong?: string;
}

/** The outcome of the whole suite. */
export interface ConformanceReport {
  readonly passed: number;
  readonly failed: number;
  /** For people. */
  readonly text: string;
}

/** The kernels that the emulated one is held against, and what the table calls them. */
const KERNELS = { patched: 'patched 6.1', stock: 'stock 6.1 + module' } as const satisfies Partial<
  Record<KernelName, string>
>;

/**
 * The conformance suite on the emulated kernel and on two real ones, the checks of @usrdrv/native, what the command line
 * does with real devices, and devices that are pulled out. Both guests run at once.
 */
export async function checkConformance(): Promise<ConformanceReport> {
  const [emu, patched, stock] = await Promise.all([
    runConformance({ setup: (machine) => emulatedTarget('usrdrv-6.1', machine), teardown: endTarget }),
    onGuest('patched'),
    onGuest('stock'),
  ]);
  // What JavaScript cannot do, as forking and being signalled, they do.
  const inC = kernelTests('test-vm.sh').names;
  const columns: Column[] = [
    { name: 'emu', rows: emu.map(ruleRow), inC: [] },
    { name: KERNELS.patched, rows: patched.rows, inC: inC.patched },
    { name: KERNELS.stock, rows: stock.rows, inC: inC.module },
  ];
  const checks = [patched, stock].flatMap(({ kernel, checks }) =>
    checks.map(({ name, wrong }) => ({ name: `${KERNELS[kernel]}: ${name}`, wrong })),
  );
  const lines = checks.map(({ name, wrong }) => (wrong === undefined ? `ok ${name}` : `not ok ${name}\n  ${wrong}`));
  const bad = checks.filter(({ wrong }) => wrong !== undefined).length;
  const sum = (of: (row: RuleRow) => number): number =>
    columns.flatMap(({ rows }) => rows).reduce((total, row) => total + of(row), 0);
  return {
    passed: checks.length - bad + sum((row) => row.passed),
    failed: bad + sum((row) => row.failed),
    text: [...lines, '', table(columns)].join('\n'),
  };
}

interface GuestResults {
  readonly kernel: keyof typeof KERNELS;
  readonly checks: readonly Check[];
  readonly rows: readonly RuleRow[];
}

async function onGuest(kernel: keyof typeof KERNELS): Promise<GuestResults> {
  const checks: Check[] = [];
  let rows: readonly RuleRow[] = [];
  const guest = await NodeGuest.boot(kernel);
  try {
    for (const of of [nativeChecks, demoChecks, unplugChecks]) checks.push(...(await of(guest)));
    rows = await conformanceRows(guest);
    await guest.end();
  } catch (error) {
    guest.kill();
    // What was found until then is shown all the same.
    checks.push({ name: 'the guest comes to its end', wrong: error instanceof Error ? error.message : String(error) });
  }
  return { kernel, checks, rows };
}

/** One processor runs the suite and takes the interrupts: one that is let through has arrived when the call returns. */
const PINNED = `
  for file in /proc/irq/default_smp_affinity /proc/irq/*/smp_affinity; do echo 1 2>/dev/null >$file; done
  exec /bin/busybox taskset 1 /bin/node /usrdrv/bin/usrdrv.mjs conformance --backend usrdrv --json --progress`;

async function conformanceRows(guest: NodeGuest): Promise<readonly RuleRow[]> {
  guest.replugEjected();
  const { status, stdout } = await guest.shell(PINNED);
  if (!stdout.startsWith('[')) throw new Error(`usrdrv conformance ended with status ${status}: ${stdout}`);
  return JSON.parse(stdout);
}

/** packages/native/test/vm/guest.ts prints `ok name`, or `not ok name` and why in lines that are indented. */
async function nativeChecks(guest: NodeGuest): Promise<Check[]> {
  const { status, stdout } = await guest.run('native');
  const checks = [...stdout.matchAll(/^(not )?ok (.*)\n?((?: {2}.*\n?)*)/gm)].map(([, not, name = '', why = '']) => ({
    name,
    ...(not !== undefined && { wrong: why.trim() }),
  }));
  if (status !== 0 || !/^\d+ passed, \d+ failed$/m.test(stdout)) {
    checks.push({ name: 'the checks of @usrdrv/native come to their end', wrong: `status ${status}` });
  }
  return checks;
}

function ruleRow(row: Awaited<ReturnType<typeof runConformance>>[number]): RuleRow {
  const of = (outcome: string) =>
    row.cases.filter((each) => each.outcome === outcome).map(({ title, reason = '' }) => ({ case: title, reason }));
  const { id, about, passed, failed, skipped } = row;
  return { id, about, passed, failed, skipped, failures: of('failed'), skips: of('skipped') };
}
