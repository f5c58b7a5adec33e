import { ENODEV, ENOMEM, PAGE_SIZE, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, PCI_STATUS_INTERRUPT } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { DirectoryEntry } from './dentry.ts';
import { IRQ_HANDLED, IRQ_NONE, IRQF_SHARED, type IrqReturn } from './irq-desc.ts';
import type { PciDev } from './pci-dev.ts';
import type { PciDriver } from './pci-driver.ts';
import { type Steps, step } from './step.ts';
import type { UioClass } from './uio-class.ts';
import type { UioDevice } from './uio-device.ts';
import { MAX_UIO_MAPS, type UioInfo, type UioMem } from './uio-info.ts';

const MASK_INTX = step('pci_check_and_mask_intx');

/** A driver that hands a function to user space, and knows nothing of what it is: what stub drivers for PCI start from. */
export abstract class GenericPciDriver implements PciDriver {
  abstract readonly name: string;
  readonly #devices = new Map<PciDev, UioDevice>();

  constructor(
    private readonly uio: UioClass,
    private readonly oracle: Oracle,
  ) {}

  protected abstract info(dev: PciDev): UioInfo;

  classDevice(dev: PciDev): DirectoryEntry | undefined {
    const device = this.#devices.get(dev);
    return device && { name: this.uio.name, child: () => [this.uio.entry(device)] };
  }

  probe(dev: PciDev): number {
    const enabled = this.oracle.choose(2, 'pci.enable') === 1 ? -ENODEV : dev.enable();
    if (enabled < 0) return enabled;
    const device = this.oracle.choose(2, 'alloc.fail') === 1 ? -ENOMEM : this.uio.register(this.info(dev));
    if (typeof device === 'number') {
      dev.disable();
      return device;
    }
    this.#devices.set(dev, device);
    return 0;
  }

  *remove(dev: PciDev): Steps<void> {
    const device = this.#devices.get(dev);
    if (device === undefined) return;
    yield* this.uio.unregister(device);
    this.#devices.delete(dev);
    dev.disable();
  }
}

/** Mainline's uio_pci_generic (N8): masks the function's interrupt at the function, and leaves the rest to user space. */
export class UioPciGeneric extends GenericPciDriver {
  readonly name = 'uio_pci_generic';

  protected info(dev: PciDev): UioInfo {
    return {
      name: this.name,
      version: '0.01.0',
      mem: memoryResources(dev),
      ...interruptOf(dev),
      // Who closed one of its files may have left the device writing to memory that is somebody else's by now.
      release: () => dev.setMaster(false),
    };
  }
}

/** The same as an IIO stub, with an event_write that masks (0) and unmasks (any other byte). No source has one for PCI. */
export class IioPciStub extends GenericPciDriver {
  readonly name = 'iio_pci';

  protected info(dev: PciDev): UioInfo {
    return {
      name: this.name,
      version: '1',
      mem: memoryResources(dev),
      ...interruptOf(dev),
      irqcontrol(irqOn) {
        maskIntx(dev, irqOn === 0);
        return 0;
      },
    };
  }
}

/** The line of a function, shared, with a handler that masks at the function. */
export function interruptOf(dev: PciDev): Pick<UioInfo, 'irq' | 'irqFlags' | 'handler'> {
  if (dev.irq === 0) return {};
  return { irq: dev.irq, irqFlags: IRQF_SHARED, handler: () => checkAndMaskIntx(dev) };
}

/**
 * pci_check_and_mask_intx(): whether the function asks for its line, which is masked then. A function that is masked already
 * and still asks counts as the one that interrupted, also where another one on the line did.
 */
function* checkAndMaskIntx(dev: PciDev): Steps<IrqReturn> {
  yield MASK_INTX;
  const commandAndStatus = dev.function.configRead(PCI_COMMAND, 4);
  if (((commandAndStatus >>> 16) & PCI_STATUS_INTERRUPT) === 0) return IRQ_NONE;
  maskIntx(dev, true);
  return IRQ_HANDLED;
}

/** pci_intx() */
export function maskIntx(dev: PciDev, mask: boolean): void {
  const command = dev.function.configRead(PCI_COMMAND, 2);
  const next = mask ? command | PCI_COMMAND_INTX_DISABLE : command & ~PCI_COMMAND_INTX_DISABLE;
  if (next !== command) dev.function.configWrite(PCI_COMMAND, next, 2);
}

/**
 * The maps: the first five registers that decode plain memory, by the page. 6.1 compares the flags as a whole, and so passes
 * over prefetchable BARs and over 64-bit ones; user space finds those in sysfs only (resourceN).
 */
export function memoryResources({ function: pciFunction }: PciDev): UioMem[] {
  const mem: UioMem[] = [];
  // It looks at the first five registers only, too.
  for (let index = 0; index < MAX_UIO_MAPS; index++) {
    const bar = pciFunction.model.bars[index];
    const start = pciFunction.barAddress(index);
    if (bar === undefined || start === undefined || bar.is64Bit === true || bar.prefetchable === true) continue;
    const offs = start % PAGE_SIZE;
    const size = Math.ceil((offs + bar.size) / PAGE_SIZE) * PAGE_SIZE;
    mem.push({ name: `${pciFunction.address}`, addr: start - offs, offs, size });
  }
  return mem;
}
