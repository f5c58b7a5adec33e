// Runs a TypeScript module or a command line on the sources of the workspace, in a process of its own.
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const nodeFlags = ['--conditions=usrdrv-source', '--import', 'tsx'];
const limitMs = 120_000;

export interface Ended {
  /** What the process ended with: its exit code, or the signal that killed it. */
  readonly ended: number | string;
  /** Standard output and standard error. */
  readonly output: string;
}

export function runModule(file: string): Promise<Ended> {
  return run(process.execPath, [...nodeFlags, file]);
}

/** Runs a module that holds vitest tests. */
export function runTests(file: string): Promise<Ended> {
  const config = join(root, 'test/snippets.vitest.config.ts');
  return run(join(root, 'node_modules/.bin/vitest'), ['run', '--config', config, '--root', dirname(file), file]);
}

/** Runs a line that begins with `npx usrdrv`, in a shell, without a build. */
export function runUsrdrv(line: string): Promise<Ended> {
  const program = [process.execPath, ...nodeFlags, join(root, 'packages/cli/src/main.ts')];
  const quoted = program.map((word) => `'${word}'`).join(' ');
  return run('sh', ['-c', line.replace(/^npx usrdrv\b/, quoted)]);
}

function run(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    // A vitest inside vitest must not take itself for the outer one's worker.
    const { VITEST: _, VITEST_WORKER_ID: __, VITEST_POOL_ID: ___, NODE_OPTIONS: ____, ...env } = process.env;
    const options = { cwd: root, env, timeout: limitMs, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ ended: error ? (child.signalCode ?? child.exitCode ?? error.message) : 0, output: stdout + stderr });
    });
    child.stdin?.end();
  });
}
