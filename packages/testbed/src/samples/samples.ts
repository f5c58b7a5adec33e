import { checksIn } from '../conformance/commands.ts';
import { matrix } from '../conformance/matrix.ts';
import { NodeGuest } from '../conformance/node-guest.ts';
import type { RuleRow } from '../conformance/rows.ts';
import type { Check } from '../conformance/suite.ts';
import { sampleChecks, withModule } from './checks.ts';

/** What became of it. */
export interface SamplesReport {
  readonly passed: number;
  readonly failed: number;
  /** For people. */
  readonly text: string;
}

/**
 * The modules of packages/kernel-patch/samples on Debian's kernel, in one guest: their tests in C, what {@link sampleChecks}
 * has, and the conformance suite on the uio backend over uio_edu.
 */
export async function checkSamples(): Promise<SamplesReport> {
  // The suite has the device's registers through /dev/mem, which Debian's kernel refuses once a driver has claimed them.
  const guest = await NodeGuest.boot('stock', 'samples', { append: 'iomem=relaxed' });
  try {
    const checks = checksIn(await guest.exec('/samples/test'), 'samples_test.c');
    checks.push(...(await sampleChecks(guest)));
    guest.replugEjected();
    const rows = await withModule(guest, 'uio_edu', () => conformanceRows(guest));
    await guest.end();
    return report(checks, rows);
  } catch (error) {
    guest.kill();
    throw error;
  }
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
