import { existsSync } from 'node:fs';
import type { Clock, FileView, KernelProfile, KernelSupports, UserModeKernel } from '@usrdrv/core';
import { addon } from './addon.ts';
import { type KernelInterface, kernelInterface, linuxFiles } from './kernel-interface.ts';
import { LinuxProcess } from './linux-process.ts';
import { monotonicClock } from './monotonic-clock.ts';
import { UsrPci } from './usr-pci.ts';

/** There is a group where there is an IOMMU. */
const FIRST_IOMMU_GROUP = '/sys/kernel/iommu_groups/0';

/**
 * Real Linux, as the JavaScript thread that makes this sees it: its calls are the kernel's, its pointers are addresses of
 * the process. Behind a pointer is what was mapped here and nothing else of the process; anything else is EFAULT.
 *
 * All instances in a thread share descriptors and memory. They belong to the thread, and go when it ends.
 */
export class LinuxKernel implements UserModeKernel {
  readonly profile: KernelProfile = 'usrdrv-6.1';
  readonly supports: KernelSupports;
  readonly process: LinuxProcess;
  readonly clock: Clock = monotonicClock;
  readonly files: FileView;
  readonly #usrPci: UsrPci;

  /**
   * @param via how the kernel offers the user-mode driver interface; found out where it is left out. With 'none' the
   *   usr_pci calls are ENOSYS, and all others work
   * @throws Error where the addon is not there
   */
  constructor(via: KernelInterface = kernelInterface()) {
    this.#usrPci = new UsrPci(addon(), via);
    this.process = new LinuxProcess(addon(), via, this.#usrPci);
    this.files = linuxFiles(via);
    this.supports = {
      threads: false,
      fork: false,
      signals: false,
      credentials: false,
      msi: via !== 'none',
      iommu: existsSync(FIRST_IOMMU_GROUP),
    };
  }

  /** Closes /dev/usrdrv/pci. What calls have opened and mapped stays, and belongs to who opened it. */
  [Symbol.dispose](): void {
    this.#usrPci.close();
  }
}
