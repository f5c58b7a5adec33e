import type { BusAddress, VirtualAddress } from '../address.ts';
import type { ConsistentMemory, UserMemory } from '../dma.ts';
import { checkResult, SystemError } from '../errors.ts';
import type { Closeable, OpenResources } from '../open-resources.ts';
import { PAGE_SIZE, type UserProcess } from '../user-mode-kernel.ts';
import { AnonymousMemory, NO_BYTES } from './user-memory.ts';

/** What `usr_pci_get_consistent` gave: one page of the process, given back with munmap(2) (U3). */
export class UserModeConsistentMemory implements ConsistentMemory, Closeable {
  readonly busAddress: BusAddress;
  readonly #process: UserProcess;
  readonly #address: VirtualAddress;
  readonly #owner: OpenResources<Closeable>;
  #bytes: Uint8Array;
  #freed = false;

  constructor(
    process: UserProcess,
    address: VirtualAddress,
    busAddress: BusAddress,
    size: number,
    owner: OpenResources<Closeable>,
  ) {
    this.#process = process;
    this.#address = address;
    this.busAddress = busAddress;
    this.#bytes = process.bytes(address, size);
    this.#owner = owner;
    owner.add(this);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.#bytes = NO_BYTES;
    this.#owner.delete(this);
    checkResult(this.#process.thread.munmap(this.#address, PAGE_SIZE), 'munmap');
  }

  close(): void {
    this.free();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** The pages behind a {@link UserModeMemory} and all its parts. */
interface Pages {
  readonly memory: AnonymousMemory;
  /** All user memory of the backend. */
  readonly owner: OpenResources<Closeable>;
  /** Mappings that exist of any part. */
  mappings: number;
  freed: boolean;
}

/** User memory, or a part of it, which shares the pages. */
export class UserModeMemory implements UserMemory, Closeable {
  readonly #pages: Pages;
  readonly #bytes: Uint8Array;
  /** From the start of the pages. */
  readonly #offset: number;
  readonly #isPart: boolean;

  private constructor(pages: Pages, start: number, end: number, isPart: boolean) {
    this.#pages = pages;
    this.#offset = start;
    this.#bytes = pages.memory.bytes.subarray(start, end);
    this.#isPart = isPart;
  }

  /**
   * @param owner all user memory of the backend
   * @throws RangeError a size that is no positive integer
   * @throws SystemError ENOMEM
   */
  static allocate(process: UserProcess, size: number, owner: OpenResources<Closeable>): UserModeMemory {
    checkSize(size);
    const pages: Pages = { memory: new AnonymousMemory(process, size), owner, mappings: 0, freed: false };
    return owner.add(new UserModeMemory(pages, 0, size, false));
  }

  get bytes(): Uint8Array {
    return this.#pages.freed ? NO_BYTES : this.#bytes;
  }

  /** Where the kernel finds it. */
  get address(): bigint {
    return this.#pages.memory.address + BigInt(this.#offset);
  }

  get freed(): boolean {
    return this.#pages.freed;
  }

  /** Whether a backend with that user memory gave it. */
  isOf(owner: OpenResources<Closeable>): boolean {
    return this.#pages.owner === owner;
  }

  /** Counts a mapping of this memory in (1) or out (-1). */
  countMapping(change: 1 | -1): void {
    this.#pages.mappings += change;
  }

  subarray(start: number, end = this.bytes.length): UserMemory {
    const { length } = this.bytes;
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start >= end || end > length) {
      throw new RangeError(`${String(start)} to ${String(end)} is no part of ${length} bytes of memory`);
    }
    return new UserModeMemory(this.#pages, this.#offset + start, this.#offset + end, true);
  }

  free(): void {
    const { mappings, owner, memory, freed } = this.#pages;
    if (this.#isPart || freed) return;
    if (mappings > 0) throw new SystemError('EBUSY', 'munmap', { detail: `mapped for a device ${mappings} times` });
    this.#pages.freed = true;
    owner.delete(this);
    memory.close();
  }

  close(): void {
    this.free();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** @throws RangeError unless a positive integer */
export function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size <= 0) {
    throw new RangeError(`the size of memory is a positive integer, not ${String(size)}`);
  }
}
