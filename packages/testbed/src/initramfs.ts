import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, packages } from './kernel.ts';

const guest = join(packages, 'testbed', 'guest');
const kernelPatch = join(packages, 'kernel-patch');

/** Builds what the guest starts with: busybox and the executor. Returns the path of the archive. */
export function executorInitramfs(): string {
  const root = join(cacheFolder(), 'testbed-initramfs');
  rmSync(root, { recursive: true, force: true });
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'tmp']) mkdirSync(join(root, folder), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin', 'busybox'));
  copyFileSync(join(guest, 'init'), join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  buildExecutor(join(root, 'bin', 'executor'));
  return pack(root);
}

function buildExecutor(output: string): void {
  const sources = readdirSync(guest).filter((name) => name.endsWith('.c'));
  execFileSync('gcc', [
    ...['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-pthread'],
    ...['-I', guest, '-I', join(kernelPatch, 'test'), '-I', join(kernelPatch, 'module', 'include', 'uapi')],
    ...['-o', output, ...sources.map((name) => join(guest, name)), join(kernelPatch, 'test', 'guest.c')],
  ]);
}

/** A compressed cpio archive beside the folder. */
function pack(root: string): string {
  const archive = `${root}.cpio.gz`;
  execFileSync('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >"$2"', 'pack', root, archive]);
  return archive;
}
