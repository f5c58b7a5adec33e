import { EBUSY, EIO, ENODEV, ENOMEM, PCI_VENDOR_ID } from '@usrdrv/core';
import { DmaDevice } from '../machine/dma-api.ts';
import type { DirectoryEntry } from './dentry.ts';
import type { DevNodes } from './dev-mem.ts';
import { EduDirectIo } from './edu-direct-io.ts';
import { EduHardware, type EduKernel } from './edu-hardware.ts';
import { IRQF_SHARED } from './irq-desc.ts';
import type { PciDev } from './pci-dev.ts';
import type { PciDriver } from './pci-driver.ts';
import { CPU_RELAX, type Steps } from './step.ts';

/** 1234:11e8, as the first register of configuration space has it. */
const EDU_ID = 0x11e8_1234;
/** edu reaches 28 bits. */
const DMA_MASK = 0xfff_ffffn;

interface Bound {
  readonly hardware: EduHardware;
  readonly file: EduDirectIo;
}

/** The kernel's driver of edu, for direct I/O: a node /dev/edu_dio-ADDRESS for each device that it has (S4). */
export class EduPciDriver implements PciDriver, DevNodes {
  readonly name = 'edu_dio';
  readonly #kernel: EduKernel;
  readonly #bound = new Map<PciDev, Bound>();

  constructor(kernel: EduKernel) {
    this.#kernel = kernel;
  }

  probe(dev: PciDev): number {
    const { oracle, iommu, irqCore } = this.#kernel;
    if (dev.function.configRead(PCI_VENDOR_ID, 4) !== EDU_ID || dev.irq === 0) return -ENODEV;
    if (dev.enableCount > 0) return -EBUSY;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const enabled = oracle.choose(2, 'pci.enable') === 1 ? -ENODEV : dev.enable();
    if (enabled < 0) return enabled;
    const hardware = new EduHardware(dev, this.#kernel);
    const dma = new DmaDevice(iommu, dev.function);
    const error = dma.setMask(DMA_MASK)
      ? irqCore.request(dev.irq, { handler: hardware.handler, flags: IRQF_SHARED, name: this.name, devId: hardware })
      : -EIO;
    if (error < 0) {
      dev.disable();
      return error;
    }
    hardware.silence();
    hardware.refused();
    dev.setMaster(true);
    // Whoever had it before may have left it running.
    if (hardware.busy()) hardware.stop();
    this.#bound.set(dev, { hardware, file: new EduDirectIo(hardware, this.#kernel, dma) });
    return 0;
  }

  /** Whoever is in a transfer is woken, finds the device stopped, takes its memory back and leaves with ENODEV. */
  *remove(dev: PciDev): Steps<void> {
    const bound = this.#bound.get(dev);
    if (bound === undefined) return;
    const { hardware } = bound;
    hardware.gone = true;
    hardware.stop();
    this.#kernel.irqCore.free(dev.irq, hardware);
    while (this.#kernel.irqCore.inProgress(dev.irq)) yield CPU_RELAX;
    this.#bound.delete(dev);
    dev.disable();
    hardware.wait.wakeUp(-1);
  }

  classDevice(): DirectoryEntry | undefined {
    return undefined;
  }

  *devNodes(): Iterable<DirectoryEntry> {
    for (const [dev, { file }] of this.#bound) {
      yield { name: `${this.name}-${dev.function.address}`, child: file };
    }
  }
}
