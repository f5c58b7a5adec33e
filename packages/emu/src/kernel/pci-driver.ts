import { EBUSY, EEXIST, EINVAL, ENODEV, PCI_DEVICE_ID, PCI_VENDOR_ID } from '@usrdrv/core';
import type { DirectoryEntry } from './dentry.ts';
import type { PciDev, PciDevs } from './pci-dev.ts';
import type { Steps } from './step.ts';
import { TextInode } from './text-file.ts';

/** A driver of the kernel for PCI functions (struct pci_driver). */
export interface PciDriver {
  readonly name: string;
  /** Takes a function over: 0 or -errno, and nothing stays taken then. */
  probe(dev: PciDev): number;
  /** Gives it back, also where it has been pulled out. */
  remove(dev: PciDev): Steps<void>;
  /** What it made of a function, for the function's directory in /sys. */
  classDevice(dev: PciDev): DirectoryEntry | undefined;
}

/** The drivers that are there, and which function has which: /sys/bus/pci/drivers. None has functions of its own accord. */
export class PciDrivers {
  readonly #drivers: PciDriver[] = [];
  readonly #devs: PciDevs;
  /** Functions that a driver was told to take, by new_id: `vendor device`. */
  readonly #ids = new Map<PciDriver, Set<string>>();

  constructor(devs: PciDevs) {
    this.#devs = devs;
  }

  /** pci_register_driver() */
  register(driver: PciDriver): void {
    this.#drivers.push(driver);
  }

  named(name: string): PciDriver | undefined {
    return this.#drivers.find((each) => each.name === name);
  }

  /** device_driver_attach(): 0; EBUSY another driver has it, or a user; else what the driver says. */
  attach(driver: PciDriver, dev: PciDev): number {
    if (dev.driver !== undefined) return -EBUSY;
    const error = driver.probe(dev);
    if (error === 0) dev.driver = driver.name;
    return error;
  }

  /** Takes the driver off a function that it has. */
  *detach(dev: PciDev): Steps<void> {
    const driver = dev.driver === undefined ? undefined : this.named(dev.driver);
    if (driver === undefined) return;
    yield* driver.remove(dev);
    dev.driver = undefined;
  }

  /** /sys/bus/pci/drivers */
  *entries(): Iterable<DirectoryEntry> {
    for (const driver of this.#drivers) yield { name: driver.name, child: () => this.#attributes(driver) };
  }

  *#attributes(driver: PciDriver): Iterable<DirectoryEntry> {
    const writable = (name: string, store: (text: string) => number | Steps<number>): DirectoryEntry => ({
      name,
      child: new TextInode(
        0o200,
        () => '',
        (_task, text) => store(text.trim()),
      ),
    });
    yield writable('bind', (name) => this.#bind(driver, name));
    yield writable('new_id', (ids) => this.#newId(driver, ids));
    yield writable('unbind', (name) => this.#unbind(driver, name));
    for (const dev of this.#devs.all()) {
      if (dev.driver === driver.name) yield { name: `${dev.function.address}`, child: () => [] };
    }
  }

  #bind(driver: PciDriver, name: string): number {
    const dev = this.#devs.named(name);
    return dev === undefined || !this.#matches(driver, dev) ? -ENODEV : this.attach(driver, dev);
  }

  *#unbind(driver: PciDriver, name: string): Steps<number> {
    const dev = this.#devs.named(name);
    if (dev?.driver !== driver.name) return -ENODEV;
    yield* this.detach(dev);
    return 0;
  }

  /** A driver without a table of its own takes what it was told to take. */
  #newId(driver: PciDriver, text: string): number {
    const [vendor, device] = text
      .split(/\s+/)
      .map((id) => (/^[0-9a-f]{1,8}$/i.test(id) ? Number.parseInt(id, 16) : -1));
    if (vendor === undefined || device === undefined || vendor < 0 || device < 0) return -EINVAL;
    const ids = this.#ids.get(driver) ?? new Set();
    this.#ids.set(driver, ids);
    if (ids.has(`${vendor} ${device}`)) return -EEXIST;
    ids.add(`${vendor} ${device}`);
    // driver_attach(): what nobody has, and what the driver does not take, stays as it is.
    for (const dev of this.#devs.all())
      if (dev.driver === undefined && this.#matches(driver, dev)) this.attach(driver, dev);
    return 0;
  }

  #matches(driver: PciDriver, dev: PciDev): boolean {
    if (dev.driverOverride !== '') return dev.driverOverride === driver.name;
    const id = (offset: number): number => dev.function.configRead(offset, 2);
    return this.#ids.get(driver)?.has(`${id(PCI_VENDOR_ID)} ${id(PCI_DEVICE_ID)}`) ?? false;
  }
}
