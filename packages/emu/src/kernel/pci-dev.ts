import { EIO, PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '@usrdrv/core';
import type { PciFunction } from '../machine/pci-function.ts';
import type { PciHost } from '../machine/pci-host.ts';

/** What the kernel keeps of a PCI function (struct pci_dev). */
export class PciDev {
  readonly function: PciFunction;
  /** How often it has been enabled; decoding is switched off when that comes back to 0. */
  enableCount = 0;
  /** The kernel driver that is bound to it. */
  driver: string | undefined = undefined;
  /** The only driver that may have it, by name; empty for any that fits. */
  driverOverride = '';
  /** The interrupt numbers of its message vectors, while there are any. */
  msiIrqs: readonly number[] = [];

  constructor(pciFunction: PciFunction) {
    this.function = pciFunction;
  }

  /** The interrupt number: the first vector's, or the line's; 0 is none. */
  get irq(): number {
    return this.msiIrqs[0] ?? this.function.line?.irq ?? 0;
  }

  /** pci_enable_device(): has the function decode its BARs. 0, or -EIO where it is gone. */
  enable(): number {
    if (!this.function.present) return -EIO;
    if (this.enableCount++ === 0) this.#changeCommand(PCI_COMMAND_MEMORY, 0);
    return 0;
  }

  /** pci_disable_device(): the last one takes bus mastering away. */
  disable(): void {
    if (--this.enableCount === 0) this.setMaster(false);
  }

  /** pci_set_master(), pci_clear_master() */
  setMaster(on: boolean): void {
    this.#changeCommand(on ? PCI_COMMAND_MASTER : 0, on ? 0 : PCI_COMMAND_MASTER);
  }

  #changeCommand(set: number, clear: number): void {
    const command = this.function.configRead(PCI_COMMAND, 2);
    const next = (command | set) & ~clear;
    if (next !== command) this.function.configWrite(PCI_COMMAND, next, 2);
  }
}

/** Every PCI function that the kernel knows of: whatever is in a slot. */
export class PciDevs {
  readonly #host: PciHost;
  readonly #devs = new WeakMap<PciFunction, PciDev>();

  constructor(host: PciHost) {
    this.#host = host;
  }

  /** pci_get_slot(): undefined where the slot is empty. */
  get(address: string): PciDev | undefined {
    const found = this.#host.function(address);
    return found === undefined ? undefined : this.of(found);
  }

  /** The function that sysfs calls so. */
  named(name: string): PciDev | undefined {
    return this.all().find((each) => each.function.address.toString() === name);
  }

  /** By ascending address. */
  all(): PciDev[] {
    return this.#host.functions().map((each) => this.of(each));
  }

  of(pciFunction: PciFunction): PciDev {
    let dev = this.#devs.get(pciFunction);
    if (dev === undefined) {
      dev = new PciDev(pciFunction);
      this.#devs.set(pciFunction, dev);
    }
    return dev;
  }
}
