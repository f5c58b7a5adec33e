import { type Backend, SystemError, userModeBackend } from '@usrdrv/core';
import { backendWithKernel } from './backend-with-kernel.ts';
import { CONTROL_DEVICE, kernelInterface } from './kernel-interface.ts';
import { LinuxKernel } from './linux-kernel.ts';

/**
 * The devices of this machine, over the user-mode driver interface of its kernel: the patch or the module, whichever is
 * there. Takes CAP_SYS_RAWIO, and /dev/mem for registers.
 * @throws SystemError ENOSYS where the kernel has neither
 * @throws Error where the addon is not there
 */
export function usrdrvBackend(): Backend {
  const via = kernelInterface();
  if (via === 'none') {
    const detail = `the kernel has neither the usrdrv patch (/proc/irq/N/irq) nor its module (${CONTROL_DEVICE})`;
    throw new SystemError('ENOSYS', 'usr_pci_open', { detail });
  }
  const kernel = new LinuxKernel(via);
  return backendWithKernel('usrdrv', userModeBackend(kernel), kernel);
}
