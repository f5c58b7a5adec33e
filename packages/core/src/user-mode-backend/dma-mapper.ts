import { type BusAddress, busAddress, virtualAddress } from '../address.ts';
import type { ConsistentMemory, DmaDirection, DmaMapper, DmaMapping, DmaSegment, UserMemory } from '../dma.ts';
import { checkResult, ENODEV, type ErrnoMeanings, SystemError } from '../errors.ts';
import { type Closeable, closed, closeEach, OpenResources } from '../open-resources.ts';
import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  MAPPING_INFO,
  PAGE_SIZE,
  SCATTERLIST,
  type UserProcess,
} from '../user-mode-kernel.ts';
import { checkMappable, checkSize, MemoryMapping, UserModeConsistentMemory, UserModeMemory } from './dma-memory.ts';
import { AnonymousMemory } from './user-memory.ts';

/** Of a call that pins memory of the process. */
export const OF_PINNING: ErrnoMeanings = {
  ENOMEM: 'no memory, or more than RLIMIT_MEMLOCK lets this user pin: ulimit -l, or memlock in limits.conf',
};
const DIRECTIONS: Readonly<Record<DmaDirection, number>> = {
  'to-device': DMA_TO_DEVICE,
  'from-device': DMA_FROM_DEVICE,
  bidirectional: DMA_BIDIRECTIONAL,
};

/** `size` in mapping_info is an unsigned int. */
const MAX_SIZE = 0xffff_ffff;
/** Where the scatterlist starts in the scratch memory: after mapping_info, aligned for its members. */
const LIST = MAPPING_INFO.length;
/** Where get_consistent writes its two results. */
const VADDR = 0;
const DMAADDR = 8;

/** DMA through the three usr_pci calls (U3 to U5). What it hands to the kernel lives in pages of its own. */
export class UserModeDmaMapper implements DmaMapper {
  readonly #process: UserProcess;
  readonly #fd: number;
  readonly #path: string;
  readonly #userMemory: OpenResources<Closeable>;
  readonly #consistent = new OpenResources<Closeable>();
  readonly #mappings = new Set<MemoryMapping>();
  #scratch: AnonymousMemory;
  #view: DataView;
  #closed = false;

  /**
   * @param fd the device's, from usr_pci_open
   * @param path the device's address, for errors
   * @param userMemory where user memory goes: it is the process's, and outlives the device
   * @throws SystemError ENOMEM
   */
  constructor(process: UserProcess, fd: number, path: string, userMemory: OpenResources<Closeable>) {
    this.#process = process;
    this.#fd = fd;
    this.#path = path;
    this.#userMemory = userMemory;
    this.#scratch = new AnonymousMemory(process, PAGE_SIZE);
    this.#view = this.#scratch.view();
  }

  allocConsistent(size: number): ConsistentMemory {
    checkSize(size);
    this.#checkOpen('usr_pci_get_consistent');
    if (size > PAGE_SIZE) throw this.#error('EINVAL', 'usr_pci_get_consistent', `${size} bytes are more than a page`);
    const { thread } = this.#process;
    const scratch = this.#scratch.address;
    const dmaaddrp = virtualAddress(scratch + BigInt(DMAADDR));
    const result = thread.usrPciGetConsistent(this.#fd, PAGE_SIZE, scratch, dmaaddrp);
    checkResult(result, 'usr_pci_get_consistent', this.#path, OF_PINNING);
    const address = virtualAddress(this.#view.getBigUint64(VADDR, true));
    const bus = busAddress(this.#view.getBigUint64(DMAADDR, true));
    try {
      const bytes = this.#process.bytes(address, size);
      const unmap = () => checkResult(thread.munmap(address, PAGE_SIZE), 'munmap');
      return new UserModeConsistentMemory(bytes, bus, this.#consistent, unmap);
    } catch (error) {
      thread.munmap(address, PAGE_SIZE);
      throw error;
    }
  }

  allocUser(size: number): UserMemory {
    checkSize(size);
    this.#checkOpen('mmap');
    return UserModeMemory.allocate(this.#process, size, this.#userMemory);
  }

  map(userMemory: UserMemory, direction: DmaDirection): DmaMapping {
    const memory = checkMappable(userMemory, direction, this.#userMemory, DIRECTIONS);
    this.#checkOpen('usr_pci_mmap');
    if (memory.freed) throw this.#error('EFAULT', 'usr_pci_mmap', 'the memory was freed');
    const size = memory.bytes.length;
    if (size > MAX_SIZE) throw this.#error('EINVAL', 'usr_pci_mmap', `${size} bytes are more than one mapping takes`);

    const nents = Math.floor(size / PAGE_SIZE) + 2;
    this.#fillMappingInfo(memory.address, size, nents, direction);
    const result = this.#process.thread.usrPciMmap(this.#fd, this.#scratch.address);
    checkResult(result, 'usr_pci_mmap', this.#path, OF_PINNING);
    // What the kernel knows the mapping by (U5).
    const name = busAddress(this.#view.getBigUint64(MAPPING_INFO.dmaaddr, true));
    const release = () => this.#unmap(name);
    const mapping = new MemoryMapping(memory, direction, this.#segments(nents), this.#mappings, release);
    if (mapping.segments.length === 0) {
      // The 2005 kernel hands a failure of the mapping out as an empty list (UD4).
      mapping.unmap();
      throw this.#error('EIO', 'usr_pci_mmap', 'nothing was mapped');
    }
    return mapping;
  }

  /** usr_pci_munmap; after the device was closed (U2), or pulled out, the kernel has done it already. */
  #unmap(name: BusAddress): void {
    if (this.#closed) return;
    this.#view.setBigUint64(MAPPING_INFO.dmaaddr, name, true);
    const result = this.#process.thread.usrPciMunmap(this.#fd, this.#scratch.address);
    if (result !== -ENODEV) checkResult(result, 'usr_pci_munmap', this.#path);
  }

  /** After the device's descriptor was closed: bus mastering is off, and what was mapped is unmapped. */
  close(): void {
    this.#closed = true;
    for (const mapping of this.#mappings) mapping.unmap();
    closeEach([{ close: () => this.#consistent.closeAll() }, this.#scratch]);
  }

  #fillMappingInfo(address: bigint, size: number, nents: number, direction: DmaDirection): void {
    const needed = LIST + nents * SCATTERLIST.length;
    if (needed > this.#scratch.length) {
      const larger = new AnonymousMemory(this.#process, needed);
      this.#scratch.close();
      this.#scratch = larger;
      this.#view = larger.view();
    }
    const view = this.#view;
    view.setBigUint64(MAPPING_INFO.virtaddr, address, true);
    view.setBigUint64(MAPPING_INFO.dmaaddr, 0n, true);
    view.setUint32(MAPPING_INFO.size, size, true);
    view.setBigUint64(MAPPING_INFO.sglist, this.#scratch.address + BigInt(LIST), true);
    view.setInt32(MAPPING_INFO.nents, nents, true);
    view.setInt32(MAPPING_INFO.direction, DIRECTIONS[direction], true);
  }

  /** As many entries as the kernel filled in, and no more than there was room for (M3, UD3). */
  #segments(room: number): DmaSegment[] {
    const filled = Math.min(this.#view.getInt32(MAPPING_INFO.nents, true), room);
    const segments: DmaSegment[] = [];
    for (let entry = LIST; segments.length < filled; entry += SCATTERLIST.length) {
      segments.push({
        busAddress: busAddress(this.#view.getBigUint64(entry + SCATTERLIST.dmaaddr, true)),
        length: Number(this.#view.getBigUint64(entry + SCATTERLIST.len, true)),
      });
    }
    return segments;
  }

  #checkOpen(syscall: string): void {
    if (this.#closed) throw closed(syscall, this.#path);
  }

  #error(code: 'EINVAL' | 'EFAULT' | 'EIO', syscall: string, detail: string): SystemError {
    return new SystemError(code, syscall, { path: this.#path, detail });
  }
}
