import {
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  EMFILE,
  ENFILE,
  ENODEV,
  ENOENT,
  ENOMEM,
  EPERM,
  O_ACCMODE,
  PAGE_SIZE,
  type VirtualAddress,
  virtualAddress,
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
  pagesOf,
  putInt64,
  readMappingInfo,
  scatterlistOf,
  type UsrPci,
  type UsrPciKernel,
  writeMapping,
} from './usr-pci.ts';
import { UsrPciVectors } from './usr-pci-vectors.ts';

const U1_CLAIM = step('U1.claim');
const U1_ENABLE = step('U1.enable');
const U1_FILE = step('U1.file');
const U1_FD = step('U1.fd');
const U2_STOP = step('U2.stop');
const U2_UNMAP = step('U2.unmap');
const U3_ALLOC = step('U3.alloc');
const U3_MAP = step('U3.map');
const U3_COPY = step('U3.copy');
const U4_READ = step('U4.read');
const U4_ALLOC = step('U4.alloc');
const U4_LOCK = step('U4.lock');
const U4_MAP = step('U4.map');
const U4_COPY = step('U4.copy');
const U5_UNLINK = step('U5.unlink');
const U5_UNMAP = step('U5.unmap');

/** The usr_pci calls as documented, every defect of the 2005 patch fixed (profile usrdrv-6.1). */
export class UsrPciUsrdrv implements UsrPci {
  readonly warnings: readonly string[] = [];
  readonly #kernel: UsrPciKernel;
  /** Who has which function. */
  readonly #claims = new Map<PciDev, OpenDevice>();
  readonly #dma = new WeakMap<PciFunction, DmaDevice>();
  readonly #vectors: UsrPciVectors;

  constructor(kernel: UsrPciKernel) {
    this.#kernel = kernel;
    this.#vectors = new UsrPciVectors(kernel);
  }

  *open(task: Task, bus: number, slot: number, fn: number, dmaMask: bigint, domain: number): Steps<number> {
    const { process } = task;
    const { oracle, pciDevs, fileTable } = this.#kernel;
    if (!process.capSysRawio) return -EPERM;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const dev = findFunction(pciDevs, domain, bus, slot, fn);
    if (dev === undefined) return -ENOENT;
    yield U1_CLAIM;
    // UD12: looking and claiming is one step, under a lock in the kernel.
    if (this.#claims.has(dev) || dev.driver !== undefined || dev.enableCount > 0) return -EBUSY;
    const device = new OpenDevice(this, dev, this.#dmaOf(dev));
    this.#claims.set(dev, device);
    yield U1_ENABLE;
    const error = oracle.choose(2, 'pci.enable') === 1 ? -EINVAL : dev.enable();
    if (error < 0) {
      // UD9: a failed enable leaves nothing behind.
      this.#claims.delete(dev);
      return device.dead ? -ENODEV : error;
    }
    const mask = maskBits(dmaMask);
    if (mask === undefined || (mask !== 0n && !device.dma.setMask(mask))) return this.#giveUp(dev, EIO);
    dev.setMaster(true);
    yield U1_FILE;
    if (!fileTable.hasRoom(process)) return this.#giveUp(dev, ENFILE);
    if (oracle.choose(2, 'alloc.fail') === 1) return this.#giveUp(dev, ENOMEM);
    yield U1_FD;
    const fd = process.files.unused();
    // UD10: released once.
    if (fd < 0) return this.#giveUp(dev, EMFILE);
    // Neither readable nor writable: both modes at once mean neither.
    process.files.install(fd, fileTable.create(device, O_ACCMODE));
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
    if (file === undefined || !(file.ops instanceof OpenDevice)) return -EINVAL;
    file.refs++;
    const result = yield* this.#getConsistent(file.ops, task.process.mm, size, vaddrp, dmaaddrp);
    yield* file.put(task);
    return result;
  }

  *mmap(task: Task, fd: number, mp: VirtualAddress): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof OpenDevice)) return -EINVAL;
    file.refs++;
    const result = yield* this.#mmap(file.ops, task, mp);
    yield* file.put(task);
    return result;
  }

  *munmap(task: Task, fd: number, mp: VirtualAddress): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof OpenDevice)) return -EINVAL;
    const device = file.ops;
    const info = readMappingInfo(task.process.mm, mp);
    if (info === undefined) return -EFAULT;
    file.refs++;
    yield U5_UNLINK;
    const entry = device.take(Number(info.dmaaddr));
    if (entry !== undefined) {
      yield U5_UNMAP;
      this.#undo(device, entry);
    } else if (!device.dead) {
      // UD1: nothing else is touched. For M6 it is misuse all the same.
      device.dma.unmapAddress(Number(info.dmaaddr), info.size, info.direction);
    }
    yield* file.put(task);
    if (entry !== undefined) return 0;
    return device.dead ? -ENODEV : -EINVAL;
  }

  *irqVectors(task: Task, fd: number, min: number, max: number, irqs: VirtualAddress): Steps<number> {
    const file = task.process.files.get(fd);
    if (file === undefined || !(file.ops instanceof OpenDevice)) return -EINVAL;
    const { dev, dead } = file.ops;
    const positive = Number.isInteger(min) && Number.isInteger(max) && min >= 1 && min <= max;
    if (max !== 0 && !positive) return -EINVAL;
    if (dead) return -ENODEV;
    if (max === 0) return this.#vectors.free(dev);
    return this.#vectors.allocate(dev, min, max, irqs, task.process.mm);
  }

  /** U2: the last descriptor is closed. */
  *release(device: OpenDevice): Steps<void> {
    const { dev, dma } = device;
    yield U2_STOP;
    dev.disable();
    this.#vectors.silence(dev);
    yield U2_UNMAP;
    for (const { mapping } of device.entries) {
      this.#kernel.iommu.debug.report('leak', dma.name, `${mapping} is still there at close`, mapping);
    }
    this.#takeMemoryBack(device);
    this.#claims.delete(dev);
  }

  unplugged(gone: PciDev): void {
    const device = this.#claims.get(gone);
    if (device === undefined) return;
    device.dead = true;
    this.#vectors.silence(gone);
    this.#takeMemoryBack(device);
  }

  *#getConsistent(
    device: OpenDevice,
    mm: MmStruct,
    size: number,
    vaddrp: VirtualAddress,
    dmaaddrp: VirtualAddress,
  ): Steps<number> {
    if (size !== PAGE_SIZE) return -EINVAL;
    yield U3_ALLOC;
    if (device.dead) return -ENODEV;
    const mapping = device.dma.allocCoherent();
    const frame = mapping?.pages[0]?.frame;
    if (mapping === undefined || frame === undefined) return -ENOMEM;
    device.consistent.add(mapping);
    // The device may be pulled out meanwhile, and the DMA layer's reference goes with it.
    this.#kernel.memory.get(frame);
    const result = yield* this.#mapConsistent(device, mm, frame, mapping, vaddrp, dmaaddrp);
    this.#kernel.memory.put(frame);
    return result;
  }

  *#mapConsistent(
    device: OpenDevice,
    mm: MmStruct,
    frame: Frame,
    mapping: DmaMapping,
    vaddrp: VirtualAddress,
    dmaaddrp: VirtualAddress,
  ): Steps<number> {
    yield U3_MAP;
    if (!mm.mmapLock.tryAcquire()) yield* mm.mmapLock.acquire();
    // UD11: never enlarged, so never moved, so freed once: by the munmap.
    const close = (): void => device.freeConsistent(mapping);
    const address = mm.mapKernelPage(frame, { dontExpand: true, close });
    mm.mmapLock.release();
    if (typeof address === 'number') {
      close();
      return address;
    }
    yield U3_COPY;
    if (putInt64(mm, vaddrp, address) && putInt64(mm, dmaaddrp, BigInt(mapping.address))) return 0;
    if (!mm.mmapLock.tryAcquire()) yield* mm.mmapLock.acquire();
    mm.munmap(address, PAGE_SIZE);
    mm.mmapLock.release();
    return -EFAULT;
  }

  *#mmap(device: OpenDevice, task: Task, mp: VirtualAddress): Steps<number> {
    const { mm, rlimits } = task.process;
    const { oracle } = this.#kernel;
    yield U4_READ;
    const info = readMappingInfo(mm, mp);
    if (info === undefined) return -EFAULT;
    const { virtaddr, size, nents, direction } = info;
    if (!isDirection(direction)) return -EINVAL;
    if (size === 0 || nents < Math.floor(size / PAGE_SIZE) + 2) return -EINVAL;
    yield U4_ALLOC;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    if (!mm.accessOk(virtualAddress(virtaddr), size)) return -EFAULT;
    const count = pagesOf(virtaddr, size);
    // UD7: exactly the pages of the region, and no more than the process may lock.
    if ((mm.pinnedPages + count) * PAGE_SIZE > rlimits.RLIMIT_MEMLOCK) return -ENOMEM;
    mm.pinnedPages += count;
    yield U4_LOCK;
    // UD5: nobody changes the mappings between two pages. UD8: and no zero page, which a write would replace.
    if (!mm.mmapLock.tryAcquire()) yield* mm.mmapLock.acquire();
    const pages = yield* mm.pinUserPages(virtaddr, count, { write: direction !== DMA_TO_DEVICE, longterm: true });
    mm.mmapLock.release();
    yield U4_MAP;
    // UD2: every page of the region, or none.
    const mapping =
      pages.length === count && !device.dead
        ? device.dma.mapSg(scatterlistOf(virtaddr, size, pages), direction)
        : undefined;
    if (mapping === undefined) {
      this.#unpin(mm, pages, count, false);
      if (pages.length < count) return -EFAULT;
      // UD4: a mapping of no entries is a failure.
      return device.dead ? -ENODEV : -ENOMEM;
    }
    const entry = { mm, pages, mapping, making: true };
    device.entries.push(entry);
    yield U4_COPY;
    // UD3: as many entries as there are, whatever the caller had room for.
    const { address, segments } = mapping;
    const filled: MappingInfo = { ...info, dmaaddr: BigInt(address), nents: segments.length };
    const error = writeMapping(mm, mp, filled, segments) ? 0 : -EFAULT;
    entry.making = false;
    // Taken back meanwhile, with the device.
    if (!device.entries.includes(entry)) return -ENODEV;
    if (error < 0) {
      device.entries.splice(device.entries.indexOf(entry), 1);
      this.#undo(device, entry);
    }
    return error;
  }

  /** The device loses all memory that it had; consistent memory stays the process's until munmap (U2). */
  #takeMemoryBack(device: OpenDevice): void {
    for (const entry of device.entries.splice(0)) this.#undo(device, entry);
    for (const mapping of device.consistent) device.freeConsistent(mapping);
  }

  /** Takes memory back from the device, and lets go of it. */
  #undo({ dma }: OpenDevice, { mm, pages, mapping }: Entry): void {
    dma.unmapSg(mapping);
    this.#unpin(mm, pages, pages.length, mapping.direction !== DMA_TO_DEVICE);
  }

  #unpin(mm: MmStruct, pages: readonly Frame[], charged: number, dirty: boolean): void {
    for (const page of pages) {
      // UD6: what the device wrote must not be thrown away as if it were still on disk.
      if (dirty) page.dirty = true;
      this.#kernel.memory.unpin(page);
    }
    mm.pinnedPages -= charged;
  }

  /** Undoes what an open that fails has done so far. */
  #giveUp(dev: PciDev, errno: number): number {
    dev.disable();
    const dead = this.#claims.get(dev)?.dead === true;
    this.#claims.delete(dev);
    return dead ? -ENODEV : -errno;
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
interface Entry {
  /** Whose pages they are, and whose limit they count against. */
  readonly mm: MmStruct;
  readonly pages: readonly Frame[];
  readonly mapping: DmaMapping;
  /** The call that makes it still has it: no other may unmap it. */
  making: boolean;
}

/** What a descriptor from usr_pci_open stands for. */
class OpenDevice implements FileOperations {
  /** The device has been pulled out. */
  dead = false;
  readonly entries: Entry[] = [];
  /** Consistent memory that is mapped in some process, and for the device. */
  readonly consistent = new Set<DmaMapping>();

  constructor(
    private readonly calls: UsrPciUsrdrv,
    readonly dev: PciDev,
    readonly dma: DmaDevice,
  ) {}

  /** Takes the mapping of that name out (U5); of two, the younger. */
  take(dmaaddr: number): Entry | undefined {
    const at = this.entries.findLastIndex(({ mapping, making }) => !making && mapping.address === dmaaddr);
    return at < 0 ? undefined : this.entries.splice(at, 1)[0];
  }

  /** The device loses the page; it is free when no process has it mapped any more. */
  freeConsistent(mapping: DmaMapping): void {
    if (this.consistent.delete(mapping)) this.dma.freeCoherent(mapping);
  }

  release(_file: File): Steps<void> {
    return this.calls.release(this);
  }
}
