import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { packages } from './kernel.ts';

/** The guests of the C tests of packages/kernel-patch: see scripts/test-vm.sh. */
export type TestGuest = 'patched' | 'module' | 'debug';

/** How the C tests of a guest ended. */
export interface TestsResult {
  readonly output: string;
  readonly passed: number;
  readonly failed: number;
}

/** Runs the C tests in one of their guests. */
export async function cTestsOf(guest: TestGuest): Promise<TestsResult> {
  const { status, output } = await kernelScript('test-vm.sh', guest);
  const [end = '', good, bad] = /(?:^|\n)(\d+) passed, (\d+) failed$/.exec(output) ?? [];
  if (good === undefined || bad === undefined) return { output, passed: 0, failed: 1 };
  const failed = status !== 0 && bad === '0' ? 1 : Number(bad);
  return { output: output.slice(0, output.length - end.length), passed: Number(good), failed };
}

/** The names of the C tests that passed. */
export function passedIn({ output }: TestsResult): string[] {
  return [...output.matchAll(/^ok (.*)$/gm)].map(([, name = '']) => name);
}

/** Runs a script of packages/kernel-patch; its standard error goes to ours. */
export async function kernelScript(
  name: string,
  ...args: string[]
): Promise<{ readonly status: number | null; readonly output: string }> {
  const script = join(packages, 'kernel-patch', 'scripts', name);
  const child = spawn('sh', [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  const [status]: (number | null)[] = await once(child, 'close');
  return { status: status ?? null, output: Buffer.concat(output).toString().trimEnd() };
}
