import { type Backend, uioBackend as uioBackendOver } from '@usrdrv/core';
import { backendWithKernel } from './backend-with-kernel.ts';
import { LinuxKernel } from './linux-kernel.ts';

/**
 * The functions of this machine that have a UIO node: those that uio_pci_generic has, or any other driver that makes a node
 * of a function. Any kernel will do. Takes the right to open the nodes, and the functions' files in sysfs; `mapPhysical` takes
 * /dev/mem as well.
 * @throws Error where the addon is not there
 */
export function uioBackend(): Backend {
  const kernel = new LinuxKernel('none');
  return backendWithKernel('uio', uioBackendOver(kernel), kernel);
}
