import type { BusAddress } from '../address.ts';
import type { ConsistentMemory, DmaDirection, DmaMapping, DmaSegment, UserMemory } from '../dma.ts';
import { SystemError } from '../errors.ts';
import type { Closeable, OpenResources } from '../open-resources.ts';
import type { UserProcess } from '../user-mode-kernel.ts';
import { AnonymousMemory, NO_BYTES } from './user-memory.ts';

/** Consistent memory of a device: bytes of the process, and where the device finds them. */
export class UserModeConsistentMemory implements ConsistentMemory, Closeable {
  readonly busAddress: BusAddress;
  readonly #owner: OpenResources<Closeable>;
  readonly #release: () => void;
  #bytes: Uint8Array;
  #freed = false;

  /** @param release gives the memory back, called once */
  constructor(bytes: Uint8Array, busAddress: BusAddress, owner: OpenResources<Closeable>, release: () => void) {
    this.busAddress = busAddress;
    this.#bytes = bytes;
    this.#owner = owner;
    this.#release = release;
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
    this.#release();
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

/**
 * What `map` of a DmaMapper is given.
 * @param userMemory all user memory of the backend
 * @param directions what the kernel calls each direction
 * @throws TypeError memory of another backend, or none; RangeError no direction
 */
export function checkMappable(
  memory: UserMemory,
  direction: DmaDirection,
  userMemory: OpenResources<Closeable>,
  directions: Readonly<Record<DmaDirection, number>>,
): UserModeMemory {
  if (!(memory instanceof UserModeMemory) || !memory.isOf(userMemory)) {
    throw new TypeError('only memory that allocUser of the same backend gave can be mapped');
  }
  if (!Object.hasOwn(directions, direction)) {
    throw new RangeError(`a direction is one of ${Object.keys(directions).join(', ')}, not ${String(direction)}`);
  }
  return memory;
}

/** User memory that is mapped for a device. */
export class MemoryMapping implements DmaMapping {
  readonly memory: UserModeMemory;
  readonly direction: DmaDirection;
  readonly segments: readonly DmaSegment[];
  readonly #open: Set<MemoryMapping>;
  readonly #release: () => void;

  /**
   * @param open all mappings of the device
   * @param release has the kernel take it back, called once
   */
  constructor(
    memory: UserModeMemory,
    direction: DmaDirection,
    segments: readonly DmaSegment[],
    open: Set<MemoryMapping>,
    release: () => void,
  ) {
    this.memory = memory;
    this.direction = direction;
    this.segments = segments;
    this.#open = open;
    this.#release = release;
    open.add(this);
    memory.countMapping(1);
  }

  unmap(): void {
    if (!this.#open.delete(this)) return;
    this.memory.countMapping(-1);
    this.#release();
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}
