// Packs the package it is called in and checks the tarball as its users get it: publint and attw must find
// nothing, and no export may point at a source file.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toolEnv } from './setup.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'usrdrv-tarball-'));
try {
  const packed = JSON.parse(run('pnpm', ['pack', '--json', '--pack-destination', scratch]));
  const tarball = packed.filename;

  const manifest = JSON.parse(run('tar', ['-xOzf', tarball, 'package/package.json']));
  const files = run('tar', ['-tzf', tarball]).split('\n');
  for (const source of files.filter((file) => file.startsWith('package/src/'))) fault(`${source} is in the tarball`);
  if (JSON.stringify(manifest.exports ?? {}).includes('usrdrv-source')) fault('exports still name the source');
  if (JSON.stringify(manifest.dependencies ?? {}).includes('workspace:')) fault('a dependency is on the workspace');
  for (const wanted of ['package/LICENSE', 'package/README.md']) {
    if (!files.includes(wanted)) fault(`${wanted} is missing`);
  }

  run('publint', ['run', tarball, '--strict']);
  // A program has no types to check.
  if (manifest.exports) run('attw', [tarball, '--profile', 'esm-only', '--no-color', '--no-emoji']);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function fault(message) {
  console.error(message);
  process.exitCode = 1;
}

/** Runs a tool in the package's folder and gives its output; a tool that fails is a fault. */
function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    env: toolEnv,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (error) throw error;
  if (status !== 0) fault(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}
