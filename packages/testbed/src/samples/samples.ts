import { checksIn, printedChecks } from '../conformance/commands.ts';
import { matrix } from '../conformance/matrix.ts';
import { NodeGuest } from '../conformance/node-guest.ts';
import type { RuleRow } from '../conformance/rows.ts';
import type { Check } from '../conformance/suite.ts';
import { samplesInitramfs } from '../initramfs.ts';
import { dioChecks } from './dio.ts';

/** What became of it. */
export interface SamplesReport {
  readonly passed: number;
  readonly failed: number;
  /** For people. */
  readonly text: string;
}

/**
 * The modules of packages/kernel-patch/samples on Debian's kernel, in one guest: their tests in C; the uio backend and the
 * conformance suite over uio_edu; and edu_dio, call by call, beside the emulated kernel's.
 */
export async function checkSamples(): Promise<SamplesReport> {
  const guest = await NodeGuest.boot('stock', 'samples', {
    initramfs: samplesInitramfs(),
    // The suite has the device's registers through /dev/mem, which Debian's kernel refuses once a driver has claimed them.
    append: 'iomem=relaxed',
  });
  try {
    const checks = checksIn(await guest.exec('/samples/test'), 'samples_test.c');
    await load(guest, 'uio_edu');
    checks.push(...(await printedChecks(guest, 'uio-stub')));
    guest.replugEjected();
    const rows = await conformanceRows(guest);
    await unload(guest, 'uio_edu');
    await load(guest, 'edu_dio');
    checks.push(...(await dioChecks(guest)));
    await unload(guest, 'edu_dio');
    await guest.end();
    return report(checks, rows);
  } catch (error) {
    guest.kill();
    throw error;
  }
}

/** A module, for the first of the two devices alone. */
async function load(guest: NodeGuest, module: string): Promise<void> {
  const { status, stdout } = await guest.shell(`
    exec 2>&1
    /bin/busybox insmod /samples/${module}.ko || exit
    cd /sys/bus/pci/drivers/${module} && set -- 0000:* && [ $# = 2 ] || exit
    [ -e unbind ] || exit 0
    echo $2 >unbind`);
  if (status !== 0) throw new Error(`insmod ${module}: status ${status}: ${stdout}`);
}

async function unload(guest: NodeGuest, module: string): Promise<void> {
  const { status, stdout } = await guest.exec('/bin/busybox', 'rmmod', module);
  if (status !== 0) throw new Error(`rmmod ${module}: status ${status}: ${stdout}`);
}

async function conformanceRows(guest: NodeGuest): Promise<readonly RuleRow[]> {
  const { status, stdout } = await guest.pinned('uio-edu');
  if (!stdout.startsWith('[')) throw new Error(`the conformance suite ended with status ${status}: ${stdout}`);
  return JSON.parse(stdout);
}

function report(checks: readonly Check[], rows: readonly RuleRow[]): SamplesReport {
  const lines = checks.map(({ name, wrong }) => (wrong === undefined ? `ok ${name}` : `not ok ${name}\n  ${wrong}`));
  const bad = checks.filter(({ wrong }) => wrong !== undefined).length;
  const sum = (of: (row: RuleRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  return {
    passed: checks.length - bad + sum((row) => row.passed),
    failed: bad + sum((row) => row.failed),
    text: [...lines, '', matrix([{ name: 'uio over uio_edu', rows }])].join('\n'),
  };
}
