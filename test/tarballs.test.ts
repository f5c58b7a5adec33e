// What README.md says to do in an empty folder, done in one: with the packages as they are packed, and nothing built here.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build } from '../scripts/setup.mjs';
import { root } from './run.ts';
import { snippetsOf } from './snippets.ts';

let folder: string;

function run(command: string, ...args: string[]): string {
  const { VITEST: _, VITEST_WORKER_ID: __, VITEST_POOL_ID: ___, ...env } = process.env;
  return execFileSync(command, args, { cwd: folder, env, encoding: 'utf8', timeout: 120_000 });
}

const bin = (name: string): string => join(root, 'node_modules/.bin', name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usrdrv-user-'));
  build();
  const tarballs = join(folder, 'tarballs');
  run(bin('pnpm'), '--dir', root, '--filter', 'usrdrv...', 'pack', '--pack-destination', tarballs);
  for (const tarball of readdirSync(tarballs)) {
    const manifest = JSON.parse(run('tar', '-xOzf', join(tarballs, tarball), 'package/package.json'));
    const into = join(folder, 'node_modules', manifest.name);
    mkdirSync(into, { recursive: true });
    run('tar', '-xzf', join(tarballs, tarball), '-C', into, '--strip-components=1');
  }
  // What npm would take from the registry.
  symlinkSync(join(root, 'packages/cli/node_modules/commander'), join(folder, 'node_modules/commander'));
  symlinkSync(join(root, 'packages/conformance/node_modules/fast-check'), join(folder, 'node_modules/fast-check'));
  symlinkSync(join(root, 'node_modules/vitest'), join(folder, 'node_modules/vitest'));

  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const [first, ...others] = snippetsOf(join(root, 'README.md'), root).filter(({ language }) => language === 'ts');
  for (const { file, code } of [{ ...first, file: 'first.js' }, ...others]) {
    if (file === undefined || code === undefined)
      throw new Error('README.md has a program without the name of its file');
    writeFileSync(join(folder, file), code);
  }
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('in an empty folder with the packed packages', { timeout: 120_000 }, () => {
  test('the first program runs as it is', () => {
    expect(run(process.execPath, 'first.js')).toBe('0000:00:04.0: 10! = 3628800\n');
  });

  test('a device and a driver of one’s own run with tsx', () => {
    expect(run(bin('tsx'), 'main.ts')).toBe('144\n');
  });

  test('the driver is tested with vitest', () => {
    expect(run(bin('vitest'), 'run', '--reporter=json', '--testTimeout=60000', '--root', folder)).toContain(
      '"numPassedTests":1',
    );
  });

  test('the command line sends its own LICENSE through the device', () => {
    expect(run(process.execPath, 'node_modules/usrdrv/bin/usrdrv.js', 'demo', 'edu')).toContain('the same');
  });
});
