import {
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOMEM,
  ENOSYS,
  ESRCH,
  PAGE_SIZE,
  SCATTERLIST,
  type VirtualAddress,
} from '@usrdrv/core';
import { DmaDevice, type DmaMapping } from '../machine/dma-api.ts';
import type { Frame } from '../machine/memory.ts';
import type { PciFunction } from '../machine/pci-function.ts';
import type { File, FileOperations } from './file.ts';
import type { MmStruct } from './mm.ts';
import type { PciDev } from './pci-dev.ts';
import { type Steps, step } from './step.ts';
import type { Task } from './task.ts';
import {
  findFunction,
  isDirection,
  type MappingInfo,
  maskBits,
  putInt64,
  readMappingInfo,
  scatterlistOf,
  type UsrPci,
  type UsrPciKernel,
  writeMapping,
} from './usr-pci.ts';

const U1_LOOKUP = step('U1.lookup');
const U1_ENABLED = step('U1.enabled');
const U1_ENABLE = step('U1.enable');
const U1_MASK = step('U1.mask');
const U1_FILE = step('U1.file');
const U1_ADD = step('U1.add');
const U1_FD = step('U1.fd');
const U2_STOP = step('U2.stop');
const U2_UNMAP = step('U2.unmap');
const U3_ALLOC = step('U3.alloc');
const U3_MAP = step('U3.map');
const U3_COPY = step('U3.copy');
const U4_READ = step('U4.read');
const U4_ALLOC = step('U4.alloc');
const U4_PINNED = step('U4.pinned');
const U4_MAP = step('U4.map');
const U4_COPY = step('U4.copy');
const U4_LINK = step('U4.link');
const U5_UNLINK = step('U5.unlink');
const U5_UNMAP = step('U5.unmap');

/** The most that kmalloc() gives in 2.6.11. */
const KMALLOC_MAX = 128 * 1024;
/** Kernel memory that one page of a mapping takes: a pointer to the page, and a struct scatterlist. */
const ENTRY_SIZE = 8 + 32;
/** Scatterlists have at least so many entries. */
const LEAST_ENTRIES = 10;

/**
 * The usr_pci calls as posted in March 2005, defects and all (profile chubb-2.6.11). Each defect is marked where it is;
 * usr-pci-usrdrv.ts has the other side.
 */
export class UsrPciChubb implements UsrPci {
  readonly warnings: string[] = [];
  readonly #kernel: UsrPciKernel;
  /** Which functions have a name in the hidden file system: those that are open. */
  readonly #names = new Set<PciDev>();
  readonly #dma = new WeakMap<PciFunction, DmaDevice>();

  constructor(kernel: UsrPciKernel) {
    this.#kernel = kernel;
  }

  *open(task: Task, bus: number, slot: number, fn: number, dmaMask: bigint): Steps<number> {
    const { process } = task;
    const { oracle, pciDevs, fileTable } = this.#kernel;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const dev = findFunction(pciDevs, 0, bus, slot, fn);
    if (dev === undefined) return -ENOENT;
    yield U1_LOOKUP;
    // UD12: nobody claims the function between here, where it is looked up, ...
    if (this.#names.has(dev)) return -EBUSY;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    yield U1_ENABLED;
    if (dev.enableCount > 0) return -EBUSY;
    yield U1_ENABLE;
    const error = this.#enable(dev);
    if (error < 0) return error;
    yield U1_MASK;
    const mask = maskBits(dmaMask);
    const dma = this.#dmaOf(dev);
    if (mask === undefined || (mask !== 0n && !dma.setMask(mask))) return this.#disable(dev, EIO);
    dev.setMaster(true);
    yield U1_FILE;
    if (!fileTable.hasRoom(process)) return this.#disable(dev, ENFILE);
    if (oracle.choose(2, 'alloc.fail') === 1) return this.#disable(dev, ENOMEM);
    yield U1_ADD;
    // UD12: ... and here, where its name is added.
    this.#names.add(dev);
    yield U1_FD;
    const fd = process.files.unused();
    if (fd < 0) {
      this.#disable(dev, EMFILE);
      this.#names.delete(dev);
      // UD10: the error path drops the inode, and then the dentry, which drops the inode again.
      return this.#bug(task, 'the inode of a usr_pci file is released twice');
    }
    const file = fileTable.create(new MapList(this, dev, dma), 0);
    file.readable = false;
    process.files.install(fd, file);
    return fd;
  }

  *getConsistent(
    task: Task,
    fd: number,
    size: number,
    vaddrp: VirtualAddress,
    dmaaddrp: VirtualAddress,
  ): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof MapList)) return -EINVAL;
    file.refs++;
    const result = yield* this.#getConsistent(file.ops, task.process.mm, size, vaddrp, dmaaddrp);
    yield* file.put(task);
    return result;
  }

  *mmap(task: Task, fd: number, mp: VirtualAddress): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof MapList)) return -EINVAL;
    file.refs++;
    const result = yield* this.#mmap(file.ops, task, mp);
    // Who dies in the call takes the reference along: the device stays taken.
    if (result !== -ESRCH) yield* file.put(task);
    return result;
  }

  *munmap(task: Task, fd: number, mp: VirtualAddress): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof MapList)) return -EINVAL;
    const list = file.ops;
    file.refs++;
    const info = readMappingInfo(task.process.mm, mp);
    yield U5_UNLINK;
    const entry = info === undefined ? undefined : list.search(Number(info.dmaaddr));
    if (entry !== undefined) {
      yield U5_UNMAP;
      this.#unmap(list, entry);
    }
    yield* file.put(task);
    if (info === undefined) return -EFAULT;
    return entry === undefined ? -EINVAL : 0;
  }

  *irqVectors(): Steps<number> {
    return -ENOSYS;
  }

  /** U2: the last descriptor is closed. */
  *release(list: MapList): Steps<void> {
    const { dev, dma } = list;
    yield U2_STOP;
    dev.disable();
    yield U2_UNMAP;
    for (const entry of list.takeAll()) {
      this.#kernel.iommu.debug.report('leak', dma.name, `${entry.mapping} is still there at close`, entry.mapping);
      this.#unmap(list, entry);
    }
    this.#names.delete(dev);
  }

  /** Nobody is told in the posted patch: whoever has it open goes on with what is no longer there. */
  unplugged(): void {}

  *#getConsistent(
    { dma }: MapList,
    mm: MmStruct,
    size: number,
    vaddrp: VirtualAddress,
    dmaaddrp: VirtualAddress,
  ): Steps<number> {
    if (size !== PAGE_SIZE) return -EINVAL;
    yield U3_ALLOC;
    const mapping = dma.allocCoherent();
    const frame = mapping?.pages[0]?.frame;
    if (mapping === undefined || frame === undefined) return -ENOMEM;
    // UD11: this reference is never dropped, so the page is never free again.
    this.#kernel.memory.get(frame);
    yield U3_MAP;
    if (!mm.mmapLock.tryAcquire()) yield* mm.mmapLock.acquire();
    // UD11: mremap(2) may move the mapping, closes the old one, and so frees what the new one shows.
    const address = mm.mapKernelPage(frame, { dontExpand: false, close: () => dma.freeCoherent(mapping) });
    mm.mmapLock.release();
    if (typeof address === 'number') {
      this.#kernel.memory.put(frame);
      dma.freeCoherent(mapping);
      return address;
    }
    yield U3_COPY;
    if (putInt64(mm, vaddrp, address) && putInt64(mm, dmaaddrp, BigInt(mapping.address))) return 0;
    mm.munmap(address, PAGE_SIZE);
    return -EFAULT;
  }

  *#mmap(list: MapList, task: Task, mp: VirtualAddress): Steps<number> {
    const { mm } = task.process;
    const { memory, oracle } = this.#kernel;
    yield U4_READ;
    const info = readMappingInfo(mm, mp);
    if (info === undefined) return -EFAULT;
    const { virtaddr, size, nents, direction } = info;
    if (!isDirection(direction)) return -EINVAL;
    const most = Math.floor(size / PAGE_SIZE) + 2;
    if (nents < most || size === 0) return -EINVAL;
    yield U4_ALLOC;
    if (most * ENTRY_SIZE > KMALLOC_MAX || oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    // UD5: without the lock of the address space. UD7: two pages more than the size says, and without a limit. UD8: an
    // untouched page that the device only reads is the zero page.
    const pages = yield* mm.pinUserPages(virtaddr, most, { write: direction !== DMA_TO_DEVICE, longterm: false });
    if (pages.length === 0) return -EFAULT;
    yield U4_PINNED;
    if (pages.length < Math.floor(size / PAGE_SIZE)) {
      for (const page of pages) memory.unpin(page);
      return -EFAULT;
    }
    const scatterlist = scatterlistOf(virtaddr, size, pages);
    if (scatterlist.reduce((sum, { length }) => sum + length, 0) < size) {
      // UD2: the check above lets a region through whose last page is missing; what builds the list runs out of pages.
      return this.#bug(task, 'usr_pci_mmap: more scatterlist than pages');
    }
    yield U4_MAP;
    // UD4: that there is no mapping goes unnoticed.
    const mapping = list.dma.mapSg(scatterlist, direction);
    const segments = mapping?.segments ?? [];
    if (nents * SCATTERLIST.length > KMALLOC_MAX) {
      // UD3: the caller's number of entries is allocated, which fails, and nobody looks; ...
      return this.#bug(task, `usr_pci_mmap: a list of ${nents} entries is written through a null pointer`);
    }
    // UD3: ... or is copied, from beyond the end of the kernel's own list.
    const room = Math.max(most, LEAST_ENTRIES);
    if (nents > room) this.#warn(`usr_pci_mmap: ${nents - room} entries are read past the end of a scatterlist`);
    const entry = new MapEntry(pages, mapping);
    yield U4_COPY;
    const filled: MappingInfo = { ...info, dmaaddr: BigInt(entry.dmaaddr), nents: segments.length };
    if (!writeMapping(mm, mp, filled, segments)) {
      this.#unmap(list, entry);
      return -EFAULT;
    }
    yield U4_LINK;
    list.add(entry);
    return 0;
  }

  /** pci_unmap_sg(), and the pages let go; also of what has been unmapped before (UD1), or never was mapped (UD4). */
  #unmap({ dma }: MapList, entry: MapEntry): void {
    const { memory } = this.#kernel;
    if (entry.mapping === undefined) dma.unmapAddress(entry.dmaaddr, 0, DMA_TO_DEVICE);
    else dma.unmapSg(entry.mapping);
    for (const page of entry.pages) {
      // UD6: what the device wrote is not marked dirty.
      if (entry.unmapped) memory.put(page);
      else memory.unpin(page);
    }
    entry.unmapped = true;
  }

  /** pci_enable_device() of 2.6.11. UD9: where it fails, the device counts as enabled from then on. */
  #enable(dev: PciDev): number {
    if (this.#kernel.oracle.choose(2, 'pci.enable') === 0) return dev.enable();
    dev.enableCount = 1;
    return -EINVAL;
  }

  #disable(dev: PciDev, errno: number): number {
    dev.disable();
    return -errno;
  }

  /** BUG(): the kernel kills who called, wherever it is. The emulated process goes as a whole. */
  #bug(task: Task, text: string): number {
    this.#warn(`kernel BUG: ${text}`);
    task.process.exit();
    return -ESRCH;
  }

  #warn(text: string): void {
    this.warnings.push(text);
    const { trace } = this.#kernel;
    if (trace.on) trace.emit('warning', undefined, 'kernel', text);
  }

  #dmaOf(dev: PciDev): DmaDevice {
    let dma = this.#dma.get(dev.function);
    if (dma === undefined) {
      dma = new DmaDevice(this.#kernel.iommu, dev.function);
      this.#dma.set(dev.function, dma);
    }
    return dma;
  }
}

/** One region in the hands of a device. */
class MapEntry {
  unmapped = false;

  constructor(
    readonly pages: readonly Frame[],
    readonly mapping: DmaMapping | undefined,
  ) {}

  /** Without a mapping, whatever stood in the scatterlist before. */
  get dmaaddr(): number {
    return this.mapping?.address ?? 0;
  }
}

/** What a descriptor from usr_pci_open stands for: a device, and a list of what is mapped for it, the youngest first. */
class MapList implements FileOperations {
  #entries: MapEntry[] = [];

  constructor(
    private readonly calls: UsrPciChubb,
    readonly dev: PciDev,
    readonly dma: DmaDevice,
  ) {}

  add(entry: MapEntry): void {
    this.#entries.unshift(entry);
  }

  /**
   * Finds the mapping of that name, and unlinks it. UD1: where there is none, the search ends at the last entry, which is
   * the oldest, and returns that, still linked.
   */
  search(dmaaddr: number): MapEntry | undefined {
    const at = this.#entries.findIndex((entry) => entry.dmaaddr === dmaaddr);
    return at < 0 ? this.#entries.at(-1) : this.#entries.splice(at, 1)[0];
  }

  takeAll(): MapEntry[] {
    return this.#entries.splice(0);
  }

  release(_file: File): Steps<void> {
    return this.calls.release(this);
  }
}
