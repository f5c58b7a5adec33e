import { EINVAL, ENOMEM } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { DirectoryEntry } from './dentry.ts';
import type { Steps } from './step.ts';
import { TextInode } from './text-file.ts';
import { UioDevice, type UioKernel } from './uio-device.ts';
import { MAX_UIO_MAPS, MAX_UIO_PORT_REGIONS, type UioInfo, type UioMem, type UioPort } from './uio-info.ts';

/** What the class needs of the kernel. */
export interface UioClassKernel extends UioKernel {
  readonly oracle: Oracle;
}

/** The registered devices of one kind, UIO or IIO, and what /sys shows of them. */
export abstract class UioClass {
  /** The class in /sys/class, and what the nodes' names start with. */
  abstract readonly name: string;
  readonly #devices = new Map<number, UioDevice>();

  constructor(protected readonly kernel: UioClassKernel) {}

  /** The nodes of a device in /dev. */
  abstract nodes(device: UioDevice): Iterable<DirectoryEntry>;

  device(minor: number): UioDevice | undefined {
    return this.#devices.get(minor);
  }

  /** uio_register_device(): the device or -errno. EINVAL a record that is none; ENOMEM; those of request_irq() (I1). */
  register(info: UioInfo): UioDevice | number {
    if (info.name === '' || info.version === '') return -EINVAL;
    if (info.mem.length > MAX_UIO_MAPS || (info.port?.length ?? 0) > MAX_UIO_PORT_REGIONS) return -EINVAL;
    if (this.kernel.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    let minor = 0;
    while (this.#devices.has(minor)) minor++;
    const device = new UioDevice(minor, info, this.kernel);
    const error = device.requestIrq();
    if (error < 0) return error;
    this.#devices.set(minor, device);
    return device;
  }

  /** uio_unregister_device() (N7). The minor is free when everybody has been woken. */
  *unregister(device: UioDevice): Steps<void> {
    yield* device.unregister();
    this.#devices.delete(device.minor);
  }

  /** Everything that these devices have in /dev. */
  *devNodes(): Iterable<DirectoryEntry> {
    for (const device of this.#devices.values()) yield* this.nodes(device);
  }

  /** /sys/class/NAME */
  *entries(): Iterable<DirectoryEntry> {
    for (const device of this.#devices.values()) yield this.entry(device);
  }

  /** The directory of one device: in the class, and in its parent's directory. */
  entry(device: UioDevice): DirectoryEntry {
    return { name: `${this.name}${device.minor}`, child: () => attributes(device) };
  }
}

function* attributes(device: UioDevice): Iterable<DirectoryEntry> {
  const { info } = device;
  if (info === undefined) return;
  yield text('name', info.name);
  yield text('version', info.version);
  yield { name: 'event', child: new TextInode(0o444, () => `${device.event >>> 0}\n`) };
  if (info.mem.length > 0) yield { name: 'maps', child: () => info.mem.map(mapEntry) };
  if (info.port !== undefined && info.port.length > 0)
    yield { name: 'portio', child: () => info.port?.map(portEntry) ?? [] };
}

function mapEntry({ name, addr, offs = 0, size }: UioMem, index: number): DirectoryEntry {
  const attributes = [
    text('addr', hex16(addr)),
    text('name', name),
    text('offset', hex(offs)),
    text('size', hex16(size)),
  ];
  return { name: `map${index}`, child: () => attributes };
}

function portEntry({ name, start, size }: UioPort, index: number): DirectoryEntry {
  const attributes = [
    text('name', name),
    text('porttype', 'port_x86'),
    text('size', hex(size)),
    text('start', hex(start)),
  ];
  return { name: `port${index}`, child: () => attributes };
}

function text(name: string, value: string): DirectoryEntry {
  return { name, child: new TextInode(0o444, () => `${value}\n`) };
}

/** %pa of a resource_size_t, and of a phys_addr_t. */
function hex16(value: number): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
