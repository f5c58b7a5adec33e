import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build as esbuild } from 'esbuild';
import { cacheFolder, packages, sampleModules, stockModules } from './kernel.ts';

const guest = join(packages, 'testbed', 'guest');
const inGuest = join(packages, 'testbed', 'src', 'in-guest');
const kernelPatch = join(packages, 'kernel-patch');

/** Builds what the guest starts with: busybox and the executor. Returns the path of the archive. */
export function executorInitramfs(): string {
  const root = folderOf('testbed-initramfs');
  buildExecutor(join(root, 'bin', 'executor'));
  return pack(root);
}

let packed: Promise<string> | undefined;

/**
 * The same with Node and the packages: {@link runner} and the programs that it runs, in /usrdrv/bin, with the addon where
 * @usrdrv/native looks for it, the modules of the stock kernel, and the sample modules, in /samples. Packed once, for every
 * kernel.
 */
export function nodeInitramfs(): Promise<string> {
  packed ??= packNode();
  return packed;
}

async function packNode(): Promise<string> {
  const root = folderOf('testbed-initramfs-node');
  stockModules(join(root, 'modules'));
  addSamples(join(root, 'samples'));
  await bundlePrograms(join(root, 'usrdrv'), {
    runner: join(inGuest, 'runner.ts'),
    unplug: join(inGuest, 'unplug.ts'),
    'unplug-uio': join(inGuest, 'unplug-uio.ts'),
    'unplug-vfio': join(inGuest, 'unplug-vfio.ts'),
    native: join(packages, 'native', 'test', 'vm', 'guest.ts'),
    uio: join(packages, 'native', 'test', 'vm', 'uio.ts'),
    'uio-stub': join(packages, 'native', 'test', 'vm', 'uio-stub.ts'),
    'uio-edu': join(inGuest, 'uio-edu.ts'),
    checksum: join(packages, '..', 'examples', 'checksum.ts'),
    led: join(packages, '..', 'examples', 'led.ts'),
    vfio: join(packages, 'native', 'test', 'vm', 'vfio.ts'),
    'vfio-no-iommu': join(packages, 'native', 'test', 'vm', 'vfio-no-iommu.ts'),
    usrdrv: join(packages, 'cli', 'src', 'main.ts'),
  });
  return appended(nodeArchive(), pack(root));
}

/** The modules of packages/kernel-patch/samples, for the stock kernel, and what tests them in C. */
function addSamples(folder: string): void {
  mkdirSync(folder);
  sampleModules(folder);
  const tests = join(kernelPatch, 'test');
  compile(join(folder, 'test'), [join(tests, 'samples', 'samples_test.c'), join(tests, 'guest.c')]);
  compile(join(folder, 'dio_calls'), [join(guest, 'samples', 'dio_calls.c')]);
}

/** The executor, and Node with the program that it starts where it measures latencies. */
export async function latencyInitramfs(): Promise<string> {
  const root = folderOf('testbed-initramfs-latency');
  buildExecutor(join(root, 'bin', 'executor'));
  await bundlePrograms(join(root, 'usrdrv'), { reader: join(inGuest, 'reader.ts') });
  return appended(nodeArchive(), pack(root));
}

/** What every guest has. */
function folderOf(name: string): string {
  const root = join(cacheFolder(), name);
  rmSync(root, { recursive: true, force: true });
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'tmp', 'modules'])
    mkdirSync(join(root, folder), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin', 'busybox'));
  copyFileSync(join(guest, 'init'), join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  return root;
}

/** An archive of Node and the libraries that it is linked with, which is kept. */
function nodeArchive(): string {
  const root = join(cacheFolder(), `testbed-node-${process.version}`);
  const archive = `${root}.cpio`;
  if (existsSync(archive)) return archive;
  mkdirSync(join(root, 'bin'), { recursive: true });
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const library of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(realpathSync(library), join(root, library));
  }
  copyFileSync(process.execPath, join(root, 'bin', 'node'));
  execFileSync('strip', [join(root, 'bin', 'node')]);
  renameSync(pack(root, `${archive}.new`), archive);
  rmSync(root, { recursive: true });
  return archive;
}

/** Programs in one file each, in bin, as a package that has @usrdrv/native's addon. */
async function bundlePrograms(folder: string, entryPoints: Readonly<Record<string, string>>): Promise<void> {
  const native = join(packages, 'native');
  const requireOfNative = createRequire(join(native, 'package.json'));
  mkdirSync(join(folder, 'build', 'Release'), { recursive: true });
  const addon: { compile(): string } = await import(join(native, 'scripts', 'compile.mjs'));
  copyFileSync(addon.compile(), join(folder, 'build', 'Release', 'usrdrv.node'));
  const build = dirname(requireOfNative.resolve('node-gyp-build'));
  cpSync(build, join(folder, 'node_modules', 'node-gyp-build'), { recursive: true, dereference: true });
  copyFileSync(join(native, 'package.json'), join(folder, 'package.json'));
  copyFileSync(join(packages, '..', 'LICENSE'), join(folder, 'LICENSE'));
  await esbuild({
    entryPoints: { ...entryPoints },
    outdir: join(folder, 'bin'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    conditions: ['usrdrv-source'],
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    // commander is CommonJS.
    banner: { js: "import { createRequire as of } from 'node:module'; globalThis.require = of(import.meta.url);" },
  });
}

function buildExecutor(output: string): void {
  const sources = readdirSync(guest).filter((name) => name.endsWith('.c'));
  compile(output, [...sources.map((name) => join(guest, name)), join(kernelPatch, 'test', 'guest.c')]);
}

function compile(output: string, sources: readonly string[]): void {
  execFileSync('gcc', [
    ...['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-pthread'],
    ...['-I', guest, '-I', join(kernelPatch, 'test'), '-I', join(kernelPatch, 'module', 'include', 'uapi')],
    ...['-o', output, ...sources],
  ]);
}

/** Archives can be appended to each other. Returns the second, which begins with the first now. */
function appended(first: string, second: string): string {
  writeFileSync(second, Buffer.concat([readFileSync(first), readFileSync(second)]));
  return second;
}

/** A cpio archive, beside the folder where no place is named. As it is: an emulated processor takes seconds to decompress Node. */
function pack(root: string, archive = `${root}.cpio`): string {
  execFileSync('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet >"$2"', 'pack', root, archive]);
  return archive;
}
