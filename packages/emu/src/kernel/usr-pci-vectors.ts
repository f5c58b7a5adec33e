import { EBUSY, EFAULT, ENOMEM, ENOSPC, type VirtualAddress } from '@usrdrv/core';
import { UsrdrvIrqFile } from './irq-file-usrdrv.ts';
import type { MmStruct } from './mm.ts';
import type { PciDev } from './pci-dev.ts';
import { MsiCapability } from './pci-msi.ts';
import type { UsrPciKernel } from './usr-pci.ts';

/** The message vectors of opened functions: usr_pci_irq_vectors, and what becomes of them. */
export class UsrPciVectors {
  readonly #kernel: UsrPciKernel;
  /** Vectors whose device has been closed, but whose irq file has not: they are given back when somebody looks. */
  #orphans: number[] = [];

  constructor(kernel: UsrPciKernel) {
    this.#kernel = kernel;
  }

  /** pci_alloc_irq_vectors(): as many as the function asks for, up to `max`; their numbers are written to `irqs`. */
  allocate(dev: PciDev, min: number, max: number, irqs: VirtualAddress, mm: MmStruct): number {
    if (dev.msiIrqs.length > 0) return -EBUSY;
    const { oracle, irqCore, msi } = this.#kernel;
    const capability = MsiCapability.of(dev.function);
    const count = Math.min(max, capability?.vectors ?? 0);
    if (capability === undefined || count < min) return -ENOSPC;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    this.#reclaim();
    const allocated = irqCore.allocMsi(count);
    const [first] = allocated ?? [];
    if (allocated === undefined || first === undefined) return -ENOSPC;
    if (!mm.copyToUser(irqs, new Uint8Array(new Int32Array(allocated).buffer))) {
      irqCore.freeMsi(allocated);
      return -EFAULT;
    }
    dev.msiIrqs = allocated;
    capability.enable(msi.message(first), count);
    return count;
  }

  /** Gives them back, unless the irq file of one is open. */
  free(dev: PciDev): number {
    if (dev.msiIrqs.some((irq) => this.#inUse(irq))) return -EBUSY;
    this.silence(dev);
    return 0;
  }

  /** The device sends no more messages: who waits for one gets ENODEV. A vector stays until its irq file is closed. */
  silence(dev: PciDev): void {
    if (dev.msiIrqs.length === 0) return;
    MsiCapability.of(dev.function)?.disable();
    for (const irq of dev.msiIrqs) {
      const devId = this.#kernel.irqCore.desc(irq)?.actions[0]?.devId;
      if (devId instanceof UsrdrvIrqFile) devId.remove();
    }
    this.#orphans.push(...dev.msiIrqs);
    dev.msiIrqs = [];
    this.#reclaim();
  }

  #reclaim(): void {
    const free = this.#orphans.filter((irq) => !this.#inUse(irq));
    if (free.length === 0) return;
    this.#kernel.irqCore.freeMsi(free);
    this.#orphans = this.#orphans.filter((irq) => !free.includes(irq));
  }

  #inUse(irq: number): boolean {
    return (this.#kernel.irqCore.desc(irq)?.actions.length ?? 0) > 0;
  }
}
