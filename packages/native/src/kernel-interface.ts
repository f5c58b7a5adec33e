import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileView } from '@usrdrv/core';

/**
 * How a kernel offers the user-mode driver interface: a patched one by system calls and a file /proc/irq/N/irq, any other
 * with the module by ioctls on /dev/usrdrv/pci and a file /dev/usrdrv/irq/N.
 */
export type KernelInterface = 'system-calls' | 'module' | 'none';

/** The module's device, whose ioctls are the usr_pci calls. */
export const CONTROL_DEVICE = '/dev/usrdrv/pci';

const PROC_IRQ = '/proc/irq';
const IRQ_FILE = /^\/proc\/irq\/(0|[1-9]\d*)\/irq$/;

/**
 * Finds out what this kernel has. The files are asked, never the system calls: on a kernel without the patch their numbers
 * belong to other calls.
 * @param root the folder that has the machine's /proc and /dev
 */
export function kernelInterface(root = '/'): KernelInterface {
  if (existsSync(join(root, CONTROL_DEVICE))) return 'module';
  // Every line has the file, and line 0 is there on every PC.
  return lines(root).some((line) => existsSync(join(root, PROC_IRQ, line, 'irq'))) ? 'system-calls' : 'none';
}

function lines(root: string): string[] {
  try {
    return readdirSync(join(root, PROC_IRQ)).filter((name) => /^\d+$/.test(name));
  } catch {
    // No procfs: no interface either.
    return [];
  }
}

/** Where the file is that callers know as /proc/irq/N/irq. Any other path stays as it is. */
export function irqPath(via: KernelInterface, path: string): string {
  if (via !== 'module' || typeof path !== 'string') return path;
  return path.replace(IRQ_FILE, '/dev/usrdrv/irq/$1');
}

/** Whether the path is the directory of a line that the module has a file for. */
function hasIrqFile(path: string): boolean {
  return /^\/proc\/irq\/\d+\/?$/.test(path) && existsSync(irqPath('module', `${path.replace(/\/$/, '')}/irq`));
}

/** The files of the machine, the irq files under the names that the patch gives them. */
export function linuxFiles(via: KernelInterface): FileView {
  return {
    readdirSync: (path) => [...readdirSync(path), ...(via === 'module' && hasIrqFile(path) ? ['irq'] : [])],
    readFileSync: (path) => readFileSync(irqPath(via, path)),
    existsSync: (path) => existsSync(irqPath(via, path)),
  };
}
