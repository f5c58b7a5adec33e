import { runConformance } from '@usrdrv/conformance';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import type { Places } from '../places.ts';
import { sampleChecks } from '../samples/checks.ts';
import { EMULATED_BACKENDS, LINUX_BACKENDS, type LinuxBackend } from './backends.ts';
import { printedChecks } from './commands.ts';
import { demoChecks } from './demos.ts';
import { type BackendResults, matrix } from './matrix.ts';
import { NodeGuest } from './node-guest.ts';
import { type Column, type RuleRow, table } from './rows.ts';
import { uioChecks } from './uio.ts';
import { unplugChecks, unplugVfioChecks } from './unplug.ts';
import { vfioChecks } from './vfio.ts';

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

/** What a guest is booted for. */
interface GuestPlan {
  /** Names its console's log. */
  readonly name: string;
  readonly kernel: Kernel;
  readonly iommu?: 'on' | 'off';
  /** Programs of packages/native/test/vm. */
  readonly programs: readonly string[];
  readonly checks: readonly ((guest: NodeGuest) => Promise<Check[]>)[];
  /** The backends of {@link LINUX_BACKENDS} that the suite runs on there, by what the command line calls them. */
  readonly backends: readonly string[];
}

const EVERYDAY = [demoChecks, uioChecks, unplugChecks];
const PLANS: readonly GuestPlan[] = [
  {
    name: 'stock',
    kernel: 'stock',
    programs: ['native'],
    checks: [...EVERYDAY, sampleChecks],
    backends: ['usrdrv', 'uio'],
  },
  { name: 'patched', kernel: 'patched', programs: ['native'], checks: EVERYDAY, backends: ['usrdrv'] },
  { name: 'vfio', kernel: 'patched', programs: ['vfio'], checks: [vfioChecks, unplugVfioChecks], backends: ['vfio'] },
  // VFIO's unsafe mode (V11).
  { name: 'no-iommu', kernel: 'patched', iommu: 'off', programs: ['vfio-no-iommu'], checks: [], backends: [] },
];

/**
 * The conformance suite on the emulated kernel and on two real ones, by each backend that there is; the checks of
 * @usrdrv/native, what the command line does with real devices, and devices that are pulled out.
 * @param inC the names of the C tests that passed, on each kernel: what JavaScript cannot do, as forking and being signalled,
 *   they do
 */
export async function checkConformance(
  places: Places,
  inC: () => Promise<Readonly<Record<'patched' | 'module', readonly string[]>>>,
): Promise<ConformanceReport> {
  const booted = PLANS.map((plan) => places.use(() => onGuest(plan)));
  const [emu, testsInC, ...guests] = await Promise.all([onEmu(), inC(), ...booted]);
  const backends = [...emu, ...LINUX_BACKENDS.map(({ name }) => resultsOf(name, guests))];
  const usrdrv = (kernel: Kernel): readonly RuleRow[] =>
    LINUX_BACKENDS.filter((each) => each.kernel === kernel && each.options.includes('usrdrv')).flatMap(
      ({ name }) => resultsOf(name, guests).rows,
    );
  const columns: Column[] = [
    { name: 'emu', rows: emu[0]?.rows ?? [], inC: [] },
    { name: KERNELS.patched, rows: usrdrv('patched'), inC: testsInC.patched },
    { name: KERNELS.stock, rows: usrdrv('stock'), inC: testsInC.module },
  ];
  const checks = guests.flatMap(({ kernel, checks }) =>
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
  readonly backends: readonly BackendResults[];
}

async function onGuest(plan: GuestPlan): Promise<GuestResults> {
  const { name, kernel, iommu = 'on' } = plan;
  const checks: Check[] = [];
  const backends: BackendResults[] = [];
  const guest = await NodeGuest.boot(kernel, name, { iommu });
  try {
    for (const program of plan.programs) checks.push(...(await printedChecks(guest, program)));
    for (const of of plan.checks) checks.push(...(await of(guest)));
    guest.replugEjected();
    for (const backend of LINUX_BACKENDS) {
      if (backend.kernel !== kernel || !plan.backends.some((each) => backend.options.includes(each))) continue;
      backends.push({ name: backend.name, rows: await conformanceRows(guest, backend) });
    }
    await guest.end();
  } catch (error) {
    guest.kill();
    // What was found until then is shown all the same.
    checks.push({
      name: `the guest comes to its end (${name})`,
      wrong: error instanceof Error ? error.message : String(error),
    });
  }
  return { kernel, checks, backends };
}

/** Nothing where its guest did not come that far. */
function resultsOf(wanted: string, guests: readonly GuestResults[]): BackendResults {
  return guests.flatMap(({ backends }) => backends).find(({ name }) => name === wanted) ?? { name: wanted, rows: [] };
}

async function conformanceRows(guest: NodeGuest, { name, options }: LinuxBackend): Promise<readonly RuleRow[]> {
  const { status, stdout } = await guest.pinned('usrdrv', 'conformance', '--json', '--progress', ...options);
  if (!stdout.startsWith('[')) throw new Error(`usrdrv conformance, ${name}, ended with status ${status}: ${stdout}`);
  return JSON.parse(stdout);
}
