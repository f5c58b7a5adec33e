import type { MachineFiles } from '../machine/machine-files.ts';
import { capabilities, devMem, lockdown, lockedMemory } from './caller.ts';
import { type Check, type Finding, missing, notKnown, ok } from './check.ts';
import { uio, uioNodes, usrdrv, vfio, vfioGroups } from './drivers.ts';
import { interruptRemapping, iommu } from './iommu.ts';
import { KernelConfig } from './kernel-config.ts';

/**
 * What user-mode drivers need of a machine, and how this one stands. Files are read and asked for permission, never opened
 * for writing; a file that cannot be read makes its check `not known`.
 */
export function checksOf(files: MachineFiles): Check[] {
  const config = new KernelConfig(files);
  const check = (id: string, about: string, find: () => Finding): Check => ({ id, about, ...tried(find) });
  return [
    check('kernel', 'the kernel', () => kernel(files, config)),
    check('iommu', 'an IOMMU, which keeps devices to their memory', () => iommu(files)),
    check('interrupt-remapping', 'remapping of interrupts, for VFIO', () => interruptRemapping(files)),
    check('usrdrv', 'the user-mode driver interface', () => usrdrv(files)),
    check('vfio', 'VFIO', () => vfio(files, config)),
    check('vfio-groups', 'IOMMU groups for programs', () => vfioGroups(files)),
    check('uio', 'UIO', () => uio(files, config)),
    check('uio-devices', 'UIO devices for programs', () => uioNodes(files)),
    check('dev-mem', 'physical memory, for registers', () => devMem(files, config)),
    check('lockdown', 'kernel lockdown', () => lockdown(files, config)),
    check('capabilities', 'what this process may do', () => capabilities(files)),
    check('memlock', 'memory that this process may lock', () => lockedMemory(files)),
  ];
}

function tried(find: () => Finding): Finding {
  try {
    return find();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return notKnown(error.message);
    throw error;
  }
}

function kernel(files: MachineFiles, config: KernelConfig): Finding {
  const arch = files.text('/proc/sys/kernel/arch');
  if (config.release === undefined)
    return notKnown('/proc/sys/kernel/osrelease is not there', 'mount -t proc proc /proc');
  const found = `Linux ${config.release}${arch === undefined ? '' : `, ${arch}`}`;
  if (arch !== undefined && arch !== 'x86_64') return missing(found, 'an x86-64 machine: the addon is for no other');
  const [major = 0, minor = 0] = config.release.split('.').map(Number.parseFloat);
  if (major > 6 || (major === 6 && minor >= 1)) return ok(found);
  return missing(found, 'Linux 6.1 or later: nothing earlier has been tried');
}
