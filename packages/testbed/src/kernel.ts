import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const packages = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const scripts = join(packages, 'kernel-patch', 'scripts');

/**
 * `patched`: Linux 6.1 with the patch series. `debug`: the same with KASAN, lockdep, kmemleak and DMA debugging. `stock`:
 * Debian's, which needs modules.
 */
export type KernelName = 'patched' | 'debug' | 'stock';

const CONFIGS = { patched: ['vm.config'], debug: ['vm.config', 'debug.config'] } as const;

/** Installs the Debian packages that are missing, which takes root. */
export function requirePackages(): void {
  vm('vm_require >&2');
}

/** The path of the kernel's image, which is built where the cache has none. */
export function kernelImage(name: KernelName): string {
  return vm(name === 'stock' ? 'vm_stock_kernel' : `vm_patched_kernel ${CONFIGS[name].join(' ')}`);
}

/** Puts the modules that a guest with the stock kernel loads into a folder of its release, under names in the order of loading. */
export function stockModules(folder: string): void {
  vm('to=$2/$(vm_stock_release); mkdir -p "$to"; vm_stock_modules "$to"; cp "$(vm_module)" "$to/90-usrdrv.ko"', folder);
}

/** Puts the modules of packages/kernel-patch/samples into a folder. */
export function sampleModules(folder: string): void {
  vm('vm_samples "$2"', folder);
}

/** Where what is built is kept, outside the checkout. */
export function cacheFolder(): string {
  return vm('mkdir -p "$vm_cache"; echo "$vm_cache"');
}

/** What no healthy kernel prints, found in a console's log. */
export function splats(consoleLog: string): string {
  return vm('vm_splats "$2" || true', consoleLog);
}

/** Runs functions of the kernel's own test scripts; what they say to people goes to standard error. */
function vm(command: string, ...args: string[]): string {
  const script = `set -eu; here=$1; . "$here/vm.sh"; exec 3>&2; ${command}`;
  const output = execFileSync('sh', ['-c', script, 'vm', scripts, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 16 * 1024 * 1024,
  });
  return output.trimEnd();
}
