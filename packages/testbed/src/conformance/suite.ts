import { runConformance } from '@usrdrv/conformance';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import { kernelTests } from '../kernel-tests.ts';
import { EMULATED_BACKENDS, LINUX_BACKENDS, type LinuxBackend } from './backends.ts';
import { printedChecks } from './commands.ts';
import { demoChecks } from './demos.ts';
import { type BackendResults, matrix } from './matrix.ts';
import { NodeGuest } from './node-guest.ts';
import { type Column, type RuleRow, table } from './rows.ts';
import { uioChecks } from './uio.ts';
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
const KERNELS = { patched: 'patched 6.1', stock: 'stock 6.1 + module' } as const;
type Kernel = keyof typeof KERNELS;

/**
 * The conformance suite on the emulated kernel and on two real ones, by each backend that there is; the checks of
 * @usrdrv/native, what the command line does with real devices, and devices that are pulled out. Both guests run at once.
 */
export async function checkConformance(): Promise<ConformanceReport> {
  const [emu, patched, stock] = await Promise.all([onEmu(), onGuest('patched'), onGuest('stock')]);
  const backends = [
    ...emu,
    ...LINUX_BACKENDS.map(({ name }) => resultsOf(name, [...patched.backends, ...stock.backends])),
  ];
  const usrdrv = (of: readonly BackendResults[]): readonly RuleRow[] => of[0]?.rows ?? [];
  // What JavaScript cannot do, as forking and being signalled, they do.
  const inC = kernelTests('test-vm.sh').names;
  const columns: Column[] = [
    { name: 'emu', rows: usrdrv(emu), inC: [] },
    { name: KERNELS.patched, rows: usrdrv(patched.backends), inC: inC.patched },
    { name: KERNELS.stock, rows: usrdrv(stock.backends), inC: inC.module },
  ];
  const checks = [patched, stock].flatMap(({ kernel, checks }) =>
    checks.map(({ name, wrong }) => ({ name: `${KERNELS[kernel]}: ${name}`, wrong })),
  );
  const lines = checks.map(({ name, wrong }) => (wrong === undefined ? `ok ${name}` : `not ok ${name}\n  ${wrong}`));
  const bad = checks.filter(({ wrong }) => wrong !== undefined).length;
  const sum = (of: (row: RuleRow) => number): number =>
    backends.flatMap(({ rows }) => rows).reduce((total, row) => total + of(row), 0);
  return {
    passed: checks.length - bad + sum((row) => row.passed),
    failed: bad + sum((row) => row.failed),
    text: [...lines, '', table(columns), '', matrix(backends)].join('\n'),
  };
}

async function onEmu(): Promise<BackendResults[]> {
  const results: BackendResults[] = [];
  for (const through of EMULATED_BACKENDS) {
    const rows = await runConformance({
      setup: (machine) => emulatedTarget('usrdrv-6.1', { ...machine, interface: through }),
      teardown: endTarget,
      ...(through !== 'usrdrv' && { level: 'driver' }),
    });
    results.push({ name: `emu ${through}`, rows });
  }
  return results;
}

interface GuestResults {
  readonly kernel: Kernel;
  readonly checks: readonly Check[];
  /** usrdrv comes first. */
  readonly backends: readonly BackendResults[];
}

async function onGuest(kernel: Kernel): Promise<GuestResults> {
  const checks: Check[] = [];
  const backends: BackendResults[] = [];
  const guest = await NodeGuest.boot(kernel);
  try {
    const programs = kernel === 'patched' ? ['native', 'vfio'] : ['native'];
    for (const program of programs) checks.push(...(await printedChecks(guest, program)));
    for (const of of [demoChecks, uioChecks, unplugChecks]) checks.push(...(await of(guest)));
    guest.replugEjected();
    for (const backend of LINUX_BACKENDS.filter((each) => each.kernel === kernel)) {
      backends.push({ name: backend.name, rows: await conformanceRows(guest, backend) });
    }
    await guest.end();
    if (kernel === 'patched') checks.push(...(await withoutIommu()));
  } catch (error) {
    guest.kill();
    // What was found until then is shown all the same.
    checks.push({ name: 'the guest comes to its end', wrong: error instanceof Error ? error.message : String(error) });
  }
  return { kernel, checks, backends };
}

/** VFIO's unsafe mode (V11) takes a guest of its own. */
async function withoutIommu(): Promise<Check[]> {
  const guest = await NodeGuest.boot('patched', 'off');
  try {
    const checks = await printedChecks(guest, 'vfio-no-iommu');
    await guest.end();
    return checks;
  } catch (error) {
    guest.kill();
    throw error;
  }
}

/** Nothing where its guest did not come that far. */
function resultsOf(wanted: string, results: readonly BackendResults[]): BackendResults {
  return results.find(({ name }) => name === wanted) ?? { name: wanted, rows: [] };
}

/** One processor runs the suite and takes the interrupts: one that is let through has arrived when the call returns. */
const PINNED = `
  for file in /proc/irq/default_smp_affinity /proc/irq/*/smp_affinity; do echo 1 2>/dev/null >$file; done
  exec /bin/busybox taskset 1 /bin/node /usrdrv/bin/usrdrv.mjs conformance --json --progress`;

async function conformanceRows(guest: NodeGuest, { name, options }: LinuxBackend): Promise<readonly RuleRow[]> {
  const { status, stdout } = await guest.shell([PINNED, ...options].join(' '));
  if (!stdout.startsWith('[')) throw new Error(`usrdrv conformance, ${name}, ended with status ${status}: ${stdout}`);
  return JSON.parse(stdout);
}
