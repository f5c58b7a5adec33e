// npm run test:vm -w @usrdrv/native [patched|module]: boots a kernel with the interface in QEMU, and in it Node, this
// package and test/vm/guest.ts. Kernel and machine are those of packages/kernel-patch.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { compile, root } from './compile.mjs';

/** What runs in the guest, one after the other; test/vm/init names them too. */
const programs = ['guest', 'conformance'];

const require = createRequire(import.meta.url);
const patch = join(dirname(root), 'kernel-patch', 'scripts');
const [name = 'patched'] = process.argv.slice(2);
if (!['patched', 'module'].includes(name)) throw new Error(`a kernel is patched or module, not ${name}`);

vm('vm_require >&2');
const cache = vm('mkdir -p "$vm_cache"; echo "$vm_cache"');
const kernel = process.env.KERNEL ?? vm(name === 'patched' ? 'vm_patched_kernel vm.config' : 'vm_stock_kernel');
const modules = name === 'module' ? [vm('vm_module')] : [];
const consoleLog = join(cache, `console-native-${name}.log`);

const append = name === 'module' ? 'intel_iommu=on' : '';
writeFileSync(
  consoleLog,
  vm(`vm_boot "$2" "$3" 1536 900 "$4" "-device intel-iommu,intremap=on"`, kernel, await initramfs(), append),
);
const log = readFileSync(consoleLog, 'utf8');
const splats = vm('vm_splats "$2" || true', consoleLog);
const results = log.split('\n').filter((line) => /^(ok |not ok | {2}|conformance: )/.test(line));
const counts = [...log.matchAll(/^(\d+) passed, (\d+) failed/gm)];
const [passed, failed] = [1, 2].map((each) => counts.reduce((sum, match) => sum + Number(match[each]), 0));
console.log([...results, `${passed} passed, ${failed} failed`].join('\n'));
if (!log.includes('guest: end')) fail(`the guest did not come to its end:\n${log.split('\n').slice(-40).join('\n')}`);
else if (splats !== '') fail(`the kernel complained:\n${splats}`);
else if (failed > 0 || counts.length < programs.length) process.exitCode = 1;

function fail(why) {
  console.error(why);
  process.exitCode = 1;
}

/** Node with its libraries, busybox, this package and the program; and the module, where there is one. */
async function initramfs() {
  const folder = join(cache, `initramfs-native-${name}`);
  rmSync(folder, { recursive: true, force: true });
  for (const each of ['bin', 'proc', 'sys', 'dev', 'tmp', 'modules', 'usrdrv/test', 'usrdrv/build/Release']) {
    mkdirSync(join(folder, each), { recursive: true });
  }
  copyFileSync('/bin/busybox', join(folder, 'bin', 'busybox'));
  copyFileSync(join(root, 'test', 'vm', 'init'), join(folder, 'init'));
  chmodSync(join(folder, 'init'), 0o755);
  for (const module of modules) cpSync(module, join(folder, 'modules', 'usrdrv.ko'));

  copyFileSync(process.execPath, join(folder, 'bin', 'node'));
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const library of libraries) {
    mkdirSync(join(folder, dirname(library)), { recursive: true });
    copyFileSync(realpathSync(library), join(folder, library));
  }

  const usrdrv = join(folder, 'usrdrv');
  copyFileSync(join(root, 'package.json'), join(usrdrv, 'package.json'));
  copyFileSync(compile(), join(usrdrv, 'build', 'Release', 'usrdrv.node'));
  cpSync(dirname(require.resolve('node-gyp-build')), join(usrdrv, 'node_modules', 'node-gyp-build'), {
    recursive: true,
    dereference: true,
  });
  await build({
    entryPoints: programs.map((program) => join(root, 'test', 'vm', `${program}.ts`)),
    outdir: join(usrdrv, 'test'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    conditions: ['usrdrv-source'],
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
  const archive = `${folder}.cpio.gz`;
  execFileSync('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >"$2"', 'pack', folder, archive]);
  return archive;
}

/** Runs functions of the kernel's own test scripts. */
function vm(command, ...args) {
  const script = `set -eu; here=$1; . "$here/vm.sh"; exec 3>&2; ${command}`;
  const { status, stdout } = spawnSync('sh', ['-c', script, 'vm', patch, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${command} failed`);
  return stdout.trimEnd();
}
