import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packages } from './kernel.ts';

/** How the C tests of packages/kernel-patch ended. */
export interface KernelTests {
  readonly output: string;
  readonly passed: number;
  readonly failed: number;
  /** The names of those that passed, on each of its guests. */
  readonly names: { readonly patched: readonly string[]; readonly module: readonly string[] };
}

/** Those of the patch and the module, and those of the sample modules. */
export type TestScript = 'test-vm.sh' | 'test-samples.sh';

const results = new Map<TestScript, KernelTests>();

/** Runs them in their guests, once however often they are asked for. */
export function kernelTests(script: TestScript): KernelTests {
  const known = results.get(script);
  if (known !== undefined) return known;
  const fresh = run(script);
  results.set(script, fresh);
  return fresh;
}

function run(script: TestScript): KernelTests {
  const { status, stdout } = spawnSync('sh', [join(packages, 'kernel-patch', 'scripts', script)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  const output = stdout.trimEnd();
  const [, good, bad] = /(?:^|\n)(\d+) passed, (\d+) failed$/.exec(output) ?? [];
  const names = { patched: passedIn(output, 'patched'), module: passedIn(output, 'module') };
  if (good === undefined || bad === undefined) return { output, passed: 0, failed: 1, names };
  return { output, passed: Number(good), failed: status !== 0 && bad === '0' ? 1 : Number(bad), names };
}

/** A guest's tests follow a line `# name`. */
function passedIn(output: string, guest: string): string[] {
  const [, section = ''] = output.split(`# ${guest}\n`);
  const [own = ''] = section.split(/^# /m);
  return [...own.matchAll(/^ok (.*)$/gm)].map(([, name = '']) => name);
}
