import {
  type BusAddress,
  busAddress,
  type ConsistentMemory,
  type DmaDirection,
  type DmaMapper,
  type DmaMapping,
  PAGE_SIZE,
  SystemError,
  type UserMemory,
  type UserProcess,
} from '@usrdrv/core';
import {
  AnonymousMemory,
  type Closeable,
  checkMappable,
  checkSize,
  closed,
  closeEach,
  MemoryMapping,
  OpenResources,
  UserModeConsistentMemory,
  UserModeMemory,
} from '@usrdrv/core/backend-parts';
import { VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from './uapi.ts';
import type { VfioGroup } from './vfio-group.ts';

/** What the device may do with the memory. */
const DIRECTIONS: Readonly<Record<DmaDirection, number>> = {
  'to-device': VFIO_DMA_MAP_FLAG_READ,
  'from-device': VFIO_DMA_MAP_FLAG_WRITE,
  bidirectional: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
};

/** As much as the interface promises for one mapping. */
const MAX_SIZE = 0xffff_ffff;

/** DMA through the container of the device's group (V4, V5). One mapping is one run of bus addresses. */
export class VfioDmaMapper implements DmaMapper {
  readonly #process: UserProcess;
  readonly #group: VfioGroup;
  readonly #highest: bigint;
  readonly #path: string;
  readonly #userMemory: OpenResources<Closeable>;
  readonly #consistent = new OpenResources<Closeable>();
  /** Every run of bus addresses that is mapped. */
  readonly #runs = new Set<IovaRun>();
  readonly #mappings = new Set<MemoryMapping>();
  #state: 'open' | 'closed' | 'removed' = 'open';

  /**
   * @param highest the highest address that the device reaches
   * @param path the device's address, for errors
   * @param userMemory where user memory goes: it is the process's, and outlives the device
   */
  constructor(
    process: UserProcess,
    group: VfioGroup,
    highest: bigint,
    path: string,
    userMemory: OpenResources<Closeable>,
  ) {
    this.#process = process;
    this.#group = group;
    this.#highest = highest;
    this.#path = path;
    this.#userMemory = userMemory;
  }

  allocConsistent(size: number): ConsistentMemory {
    checkSize(size);
    this.#checkOpen();
    const memory = new AnonymousMemory(this.#process, size);
    try {
      const run = this.#mapPages(memory.address, memory.length, DIRECTIONS.bidirectional);
      const release = () => closeEach([run, memory]);
      return new UserModeConsistentMemory(memory.bytes.subarray(0, size), run.iova, this.#consistent, release);
    } catch (error) {
      memory.close();
      throw error;
    }
  }

  allocUser(size: number): UserMemory {
    checkSize(size);
    this.#checkOpen();
    return UserModeMemory.allocate(this.#process, size, this.#userMemory);
  }

  map(userMemory: UserMemory, direction: DmaDirection): DmaMapping {
    const memory = checkMappable(userMemory, direction, this.#userMemory, DIRECTIONS);
    this.#checkOpen();
    if (memory.freed) throw this.#error('EFAULT', 'the memory was freed');
    const { length } = memory.bytes;
    if (length > MAX_SIZE) throw this.#error('EINVAL', `${length} bytes are more than one mapping takes`);
    if (direction === 'to-device') touch(memory.bytes);
    const inPage = Number(memory.address % BigInt(PAGE_SIZE));
    const pages = Math.ceil((inPage + length) / PAGE_SIZE) * PAGE_SIZE;
    const run = this.#mapPages(memory.address - BigInt(inPage), pages, DIRECTIONS[direction]);
    const segment = { busAddress: busAddress(run.iova + BigInt(inPage)), length };
    return new MemoryMapping(memory, direction, [segment], this.#mappings, () => run.close());
  }

  /** The device is given back, and can reach nothing any more. What the process has stays until it is freed. */
  remove(): void {
    this.#state = 'removed';
    closeEach(this.#runs);
  }

  /** With bus mastering off. */
  close(): void {
    this.#state = 'closed';
    const mappings = [...this.#mappings].map((mapping) => ({ close: () => mapping.unmap() }));
    closeEach([...mappings, { close: () => this.#consistent.closeAll() }]);
  }

  #mapPages(vaddr: bigint, size: number, flags: number): IovaRun {
    const { iovas } = this.#group;
    if (iovas === undefined) throw this.#error('ENOSYS', 'without an IOMMU VFIO gives no bus addresses');
    const pages = size / PAGE_SIZE;
    const iova = iovas.allocate(pages, this.#highest);
    if (iova === undefined) {
      const below = `0x${this.#highest.toString(16)}`;
      throw this.#error('ENOSPC', `no ${size} bytes of bus addresses are left up to ${below}: unmap something`);
    }
    try {
      this.#group.map(vaddr, iova, size, flags);
    } catch (error) {
      iovas.free(iova, pages);
      throw error;
    }
    const release = () => {
      this.#runs.delete(run);
      this.#group.unmap(iova, size);
      iovas.free(iova, pages);
    };
    const run = new IovaRun(busAddress(iova), release);
    this.#runs.add(run);
    return run;
  }

  #checkOpen(): void {
    if (this.#state === 'closed') throw closed('dma', this.#path);
    if (this.#state === 'removed') throw this.#error('ENODEV', 'the device was removed');
  }

  #error(code: 'EINVAL' | 'EFAULT' | 'ENODEV' | 'ENOSPC' | 'ENOSYS', detail: string): SystemError {
    return new SystemError(code, 'dma', { path: this.#path, detail });
  }
}

/**
 * Writes to each page, and changes nothing. A page that nobody has written is the kernel's one page of zeros: VFIO would pin
 * that for a device that only reads, and whatever is written later would go to another page.
 */
function touch(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) Atomics.or(bytes, at, 0);
  Atomics.or(bytes, bytes.length - 1, 0);
}

/** Bus addresses that lead to memory, until they are given back: once. */
class IovaRun implements Closeable {
  readonly iova: BusAddress;
  readonly #release: () => void;
  #closed = false;

  constructor(iova: BusAddress, release: () => void) {
    this.iova = iova;
    this.#release = release;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }
}
