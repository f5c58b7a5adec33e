import {
  EFAULT,
  EINVAL,
  EIO,
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
  SEEK_END,
  type VirtualAddress,
} from '@usrdrv/core';
import type { Width } from '../devices/device.ts';
import { PCI_BASE_ADDRESS_MEM_PREFETCH, PCI_BASE_ADDRESS_MEM_TYPE_64 } from '../machine/pci-config.ts';
import { type DirectoryEntry, S_IFREG } from './dentry.ts';
import { defaultLlseek, type File, type FileOperations } from './file.ts';
import type { PciDev, PciDevs } from './pci-dev.ts';
import type { PciDrivers } from './pci-driver.ts';
import { resourceFile } from './pci-mmap.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import { TextInode } from './text-file.ts';
import type { UioClass } from './uio-class.ts';
import type { FileSystem, Inode } from './vfs.ts';

const DEVICES = '/sys/bus/pci/devices/';
/** Bytes of conventional configuration space; who is not root sees the header only. */
const CONFIG_SIZE = 256;
const HEADER_SIZE = 64;

/** The part of /sys that shows PCI functions. */
export class SysFs implements FileSystem {
  readonly mountPoint = 'sys';
  readonly #devs: PciDevs;
  readonly #drivers: PciDrivers;
  readonly #classes: readonly UioClass[];

  /** @param classes what /sys/class shows */
  constructor(devs: PciDevs, drivers: PciDrivers, classes: readonly UioClass[]) {
    this.#devs = devs;
    this.#drivers = drivers;
    this.#classes = classes;
  }

  lookup(path: string): Inode | undefined {
    if (!path.startsWith(DEVICES)) return undefined;
    const [address = '', name = '', ...rest] = path.slice(DEVICES.length).split('/');
    if (rest.length > 0) return undefined;
    const dev = this.#devs.named(address);
    return dev === undefined ? undefined : attribute(dev, name);
  }

  *entries(): Iterable<DirectoryEntry> {
    const devices = (): Iterable<DirectoryEntry> => this.#devices();
    const pci = (): Iterable<DirectoryEntry> => [
      { name: 'devices', child: devices },
      { name: 'drivers', child: () => this.#drivers.entries() },
    ];
    yield { name: 'bus', child: () => [{ name: 'pci', child: pci }] };
    yield {
      name: 'class',
      child: () => this.#classes.map((each) => ({ name: each.name, child: () => each.entries() })),
    };
  }

  *#devices(): Iterable<DirectoryEntry> {
    for (const dev of this.#devs.all()) yield { name: `${dev.function.address}`, child: () => this.#device(dev) };
  }

  /** A function's directory: what it is, and the class device that its driver made of it. */
  *#device(dev: PciDev): Iterable<DirectoryEntry> {
    yield* attributes(dev);
    const classDevice = this.#drivers.named(dev.driver ?? '')?.classDevice(dev);
    if (classDevice !== undefined) yield classDevice;
  }
}

/** What a device's directory shows, by name. */
const attributeNames = [
  'class',
  'config',
  'device',
  'driver_override',
  'enable',
  'irq',
  'resource',
  'revision',
  'subsystem_device',
  'subsystem_vendor',
  'uevent',
  'vendor',
];

function* attributes(dev: PciDev): Iterable<DirectoryEntry> {
  for (const name of attributeNames) {
    const child = attribute(dev, name);
    if (child !== undefined) yield { name, child };
  }
  if (dev.msiIrqs.length > 0) yield { name: 'msi_irqs', child: () => msiIrqs(dev) };
}

function* msiIrqs({ msiIrqs }: PciDev): Iterable<DirectoryEntry> {
  for (const irq of msiIrqs) yield { name: `${irq}`, child: new TextInode(0o444, () => 'msi\n') };
}

function attribute(dev: PciDev, name: string): Inode | undefined {
  const id = (offset: number): Inode => hex(() => dev.function.configRead(offset, 2), 4);
  switch (name) {
    case 'vendor':
      return id(PCI_VENDOR_ID);
    case 'device':
      return id(PCI_DEVICE_ID);
    case 'subsystem_vendor':
      return id(PCI_SUBSYSTEM_VENDOR_ID);
    case 'subsystem_device':
      return id(PCI_SUBSYSTEM_ID);
    case 'class':
      return hex(() => dev.function.configRead(PCI_CLASS_REVISION, 4) >>> 8, 6);
    case 'revision':
      return hex(() => dev.function.configRead(PCI_CLASS_REVISION, 1), 2);
    case 'irq':
      return new TextInode(0o444, () => `${dev.irq}\n`);
    case 'resource':
      return new TextInode(0o444, () => showResource(dev));
    case 'enable':
      return new TextInode(
        0o644,
        () => `${dev.enableCount}\n`,
        (_task, text) => storeEnable(dev, text),
      );
    case 'config':
      return new ConfigInode(dev);
    case 'driver_override':
      return new TextInode(
        0o644,
        () => `${dev.driverOverride || '(null)'}\n`,
        (_task, text) => {
          dev.driverOverride = text.trim();
          return 0;
        },
      );
    case 'uevent':
      return new TextInode(0o444, () => showUevent(dev));
    default:
      return resourceFile(dev, name);
  }
}

/** What user space is told of the function: among it the driver that has it. */
function showUevent({ driver, function: from }: PciDev): string {
  const id = (offset: number): string => from.configRead(offset, 2).toString(16).padStart(4, '0').toUpperCase();
  const lines = [
    `PCI_CLASS=${(from.configRead(PCI_CLASS_REVISION, 4) >>> 8).toString(16).toUpperCase()}`,
    `PCI_ID=${id(PCI_VENDOR_ID)}:${id(PCI_DEVICE_ID)}`,
    `PCI_SUBSYS_ID=${id(PCI_SUBSYSTEM_VENDOR_ID)}:${id(PCI_SUBSYSTEM_ID)}`,
    `PCI_SLOT_NAME=${from.address}`,
  ];
  if (driver !== undefined) lines.unshift(`DRIVER=${driver}`);
  return `${lines.join('\n')}\n`;
}

function hex(value: () => number, digits: number): Inode {
  return new TextInode(0o444, () => `0x${value().toString(16).padStart(digits, '0')}\n`);
}

function storeEnable(dev: PciDev, text: string): number {
  const value = text.trim();
  if (!/^[0-9]+$/.test(value)) return -EINVAL;
  if (Number(value) !== 0) return dev.enable();
  if (dev.enableCount === 0) return -EIO;
  dev.disable();
  return 0;
}

const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_SIZEALIGN = 0x4_0000;
const IORESOURCE_MEM_64 = 0x10_0000;
/** Six base address registers, and the expansion ROM, which no device here has. */
const RESOURCES = 7;

/** `start end flags` of each resource. */
function showResource({ function: { model }, function: pciFunction }: PciDev): string {
  let text = '';
  for (let index = 0; index < RESOURCES; index++) {
    const bar = model.bars[index];
    const start = pciFunction.barAddress(index);
    let [end, flags] = [0, 0];
    if (bar !== undefined && start !== undefined) {
      end = start + bar.size - 1;
      flags = IORESOURCE_MEM | IORESOURCE_SIZEALIGN;
      if (bar.is64Bit === true) flags |= IORESOURCE_MEM_64 | PCI_BASE_ADDRESS_MEM_TYPE_64;
      if (bar.prefetchable === true) flags |= IORESOURCE_PREFETCH | PCI_BASE_ADDRESS_MEM_PREFETCH;
    }
    text += `${[start ?? 0, end, flags].map((each) => `0x${each.toString(16).padStart(16, '0')}`).join(' ')}\n`;
  }
  return text;
}

/** The configuration space: every access becomes aligned cycles as wide as they can be. */
class ConfigInode implements Inode {
  readonly mode = S_IFREG | 0o644;
  readonly #dev: PciDev;

  constructor(dev: PciDev) {
    this.#dev = dev;
  }

  *open(): Steps<FileOperations> {
    return new ConfigFile(this.#dev);
  }

  show(): Uint8Array {
    return readConfig(this.#dev, 0, CONFIG_SIZE);
  }
}

class ConfigFile implements FileOperations {
  readonly #dev: PciDev;

  constructor(dev: PciDev) {
    this.#dev = dev;
  }

  *read(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    const size = task.process.uid === 0 ? CONFIG_SIZE : HEADER_SIZE;
    if (file.position >= size) return 0;
    const bytes = readConfig(this.#dev, file.position, Math.min(count, size - file.position));
    if (!task.process.mm.copyToUser(buf, bytes)) return -EFAULT;
    file.position += bytes.length;
    return bytes.length;
  }

  *write(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (file.position >= CONFIG_SIZE) return 0;
    const bytes = task.process.mm.copyFromUser(buf, Math.min(count, CONFIG_SIZE - file.position));
    if (bytes === undefined) return -EFAULT;
    const view = new DataView(bytes.buffer);
    for (const [offset, width] of cycles(file.position, bytes.length)) {
      this.#dev.function.configWrite(offset, get(view, offset - file.position, width), width);
    }
    file.position += bytes.length;
    return bytes.length;
  }

  llseek(file: File, offset: number, whence: number): number {
    return whence === SEEK_END
      ? defaultLlseek(file, CONFIG_SIZE + offset, whence)
      : defaultLlseek(file, offset, whence);
  }
}

function readConfig({ function: from }: PciDev, start: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, width] of cycles(start, length)) {
    const value = from.configRead(offset, width);
    for (let at = 0; at < width; at++) bytes[offset - start + at] = value >>> (8 * at);
  }
  return bytes;
}

/** The configuration cycles that cover a range: aligned, and of 4 bytes wherever 4 fit. */
function* cycles(start: number, length: number): Iterable<[offset: number, width: Width]> {
  const end = start + length;
  for (let at = start; at < end; ) {
    const width = at % 4 === 0 && at + 4 <= end ? 4 : at % 2 === 0 && at + 2 <= end ? 2 : 1;
    yield [at, width];
    at += width;
  }
}

function get(view: DataView, at: number, width: Width): number {
  if (width === 1) return view.getUint8(at);
  return width === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}
