import { PciAddress, SystemError } from '@usrdrv/core';
import type { MachineFiles } from './machine-files.ts';

const DEVICES = '/sys/bus/pci/devices';

/** The folder of a driver in sysfs. */
export function driverFolder(driver: string): string {
  return `/sys/bus/pci/drivers/${driver}`;
}

/** A PCI function as sysfs shows it at this moment (Documentation/ABI/testing/sysfs-bus-pci). */
export class SysfsFunction {
  readonly address: string;
  /** Its folder, with every link followed: what belongs to the function is below it. */
  readonly folder: string;
  readonly #files: MachineFiles;

  /**
   * @throws TypeError, RangeError no PCI address
   * @throws SystemError ENOENT no such function
   */
  constructor(files: MachineFiles, address: string) {
    this.address = String(PciAddress.from(address));
    this.#files = files;
    const folder = files.realPath(`${DEVICES}/${this.address}`);
    if (folder === undefined) {
      const detail = 'there is no such PCI function: ls /sys/bus/pci/devices shows those that there are';
      throw new SystemError('ENOENT', 'open', { path: `${DEVICES}/${this.address}`, detail });
    }
    this.folder = folder;
  }

  /** Where a file of its folder is, by the name that people know the folder by. */
  file(name: string): string {
    return `${DEVICES}/${this.address}/${name}`;
  }

  /** The name of the driver that it is bound to. */
  get driver(): string | undefined {
    return nameOf(this.#files.link(this.file('driver')));
  }

  /** The only driver that it may be bound to, where somebody has said so. */
  get driverOverride(): string | undefined {
    const text = this.#files.text(this.file('driver_override'));
    return text === undefined || text === '' || text === '(null)' ? undefined : text;
  }

  /** Base class, sub-class and programming interface. */
  get classCode(): number {
    return Number(this.#files.text(this.file('class')) ?? 0);
  }

  /** The number of its IOMMU group. */
  get group(): string | undefined {
    return nameOf(this.#files.link(this.file('iommu_group')));
  }

  /** Whether a folder, with every link followed, is that of something that the function carries. */
  carries(folder: string | undefined): boolean {
    return folder?.startsWith(`${this.folder}/`) === true;
  }
}

function nameOf(link: string | undefined): string | undefined {
  return link?.split('/').at(-1);
}
