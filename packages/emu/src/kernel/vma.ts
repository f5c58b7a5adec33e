import { PAGE_SIZE, PROT_READ, PROT_WRITE } from '@usrdrv/core';
import type { Frame, PhysicalMemory } from '../machine/memory.ts';

/**
 * One mapping of an address space (struct vm_area_struct). Addresses are numbers here: user space ends at 2^47, so a
 * number is exact, and quicker than a bigint.
 */
export class Vma {
  constructor(
    public start: number,
    public end: number,
    readonly prot: number,
    readonly shared: boolean,
    readonly target: MemoryTarget | DeviceTarget,
  ) {}

  get readable(): boolean {
    return (this.prot & (PROT_READ | PROT_WRITE)) !== 0;
  }

  get writable(): boolean {
    return (this.prot & PROT_WRITE) !== 0;
  }

  /** Cuts the mapping in two at an address inside it, and returns the upper one. */
  split(at: number): Vma {
    const upper = new Vma(at, this.end, this.prot, this.shared, this.target.from(at - this.start));
    this.end = at;
    return upper;
  }
}

/** A mapping of device memory: what /dev/mem gives. */
export class DeviceTarget {
  readonly kind = 'device';
  /** @param physical physical address of the first byte */
  constructor(readonly physical: number) {}

  from(offset: number): DeviceTarget {
    return new DeviceTarget(this.physical + offset);
  }

  /** The same for a child process. */
  share(): DeviceTarget {
    return this;
  }
}

/** What the kernel code that made a mapping wants to be told (struct vm_operations_struct). */
export interface VmOps {
  /** The mapping is gone; or, while mremap(2) moves it, the old one is. */
  close(): void;
  /** mremap(2) must not enlarge it, and so never moves it (VM_DONTEXPAND). */
  readonly dontExpand: boolean;
}

/** A mapping of memory: a part of the storage that one mmap(2) made. */
export class MemoryTarget {
  readonly kind = 'memory';

  /**
   * @param offset bytes from the start of the storage to the start of the mapping
   * @param ops set for memory that kernel code mapped: never a target of DMA, not inherited over fork (VM_IO, VM_DONTCOPY)
   */
  constructor(
    readonly backing: Backing,
    readonly offset: number,
    readonly ops: VmOps | undefined = undefined,
  ) {}

  from(offset: number): MemoryTarget {
    this.backing.mappings++;
    return new MemoryTarget(this.backing, this.offset + offset, this.ops);
  }

  /** The same for a child process. */
  share(): MemoryTarget {
    this.backing.sharedByFork = true;
    return this.from(0);
  }
}

/** The storage of memory: one ArrayBuffer, and the frames that its pages are. */
export class Backing {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  /** A page that nobody has touched has no frame yet. */
  readonly frames: (Frame | undefined)[];
  /** Pages without a frame, for each of which one is reserved. */
  untouched: number;
  /** Mappings that show a part of it. */
  mappings = 1;
  /** Mapped by several processes: pages are only given back all together. */
  sharedByFork = false;

  /** @param length bytes, a multiple of the page size; as many frames must have been reserved */
  constructor(
    length: number,
    private readonly memory: PhysicalMemory,
  ) {
    const buffer = new ArrayBuffer(length);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.untouched = length / PAGE_SIZE;
    this.frames = new Array<Frame | undefined>(this.untouched).fill(undefined);
  }

  /** The 4096 bytes of a page. */
  page(index: number): Uint8Array {
    return this.bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE);
  }

  /** Gives the pages that overlap a range of bytes their frames. */
  touch(offset: number, length: number): void {
    if (this.untouched === 0 || length === 0) return;
    const last = Math.floor((offset + length - 1) / PAGE_SIZE);
    for (let at = Math.floor(offset / PAGE_SIZE); at <= last; at++) {
      if (this.frames[at] === undefined) this.adopt(at, this.memory.allocReserved(this.page(at)));
    }
  }

  /** Makes a frame the frame of an untouched page; its reservation has been used up or given back. */
  adopt(index: number, frame: Frame): void {
    this.frames[index] = frame;
    this.untouched--;
  }

  /** mremap(2): the pages of a part of other storage become the first pages of this. The other's are untouched then. */
  takeOver(other: Backing, offset: number, length: number): void {
    const first = offset / PAGE_SIZE;
    for (let at = 0; at < length / PAGE_SIZE; at++) {
      const frame = other.frames[first + at];
      if (frame === undefined) continue;
      const page = this.page(at);
      page.set(frame.bytes);
      frame.bytes = page;
      this.adopt(at, frame);
      other.frames[first + at] = undefined;
      other.untouched++;
    }
  }

  /**
   * fork(2): fills this with a copy of other storage, from `offset` on.
   * @param breakPins a page that is pinned for a device goes to the child, and the other storage gets the copy
   */
  copyFrom(other: Backing, offset: number, breakPins: boolean): void {
    const first = offset / PAGE_SIZE;
    for (let at = 0; at < this.frames.length; at++) {
      const original = other.frames[first + at];
      if (original === undefined) continue;
      const page = this.page(at);
      page.set(original.bytes);
      if (breakPins && original.pins > 0) {
        const copy = this.memory.allocReserved(original.bytes);
        original.bytes = page;
        other.frames[first + at] = copy;
        this.adopt(at, original);
      } else {
        this.adopt(at, this.memory.allocReserved(page));
      }
    }
  }

  /** A mapping of `length` bytes from `offset` is gone. The last one takes the storage with it. */
  drop(offset: number, length: number): void {
    this.mappings--;
    if (!this.sharedByFork) this.#release(offset, length);
    if (this.mappings > 0) return;
    if (this.sharedByFork) this.#release(0, this.bytes.length);
    detach(this.bytes.buffer);
  }

  #release(offset: number, length: number): void {
    const first = offset / PAGE_SIZE;
    for (let at = first; at < first + length / PAGE_SIZE; at++) {
      const frame = this.frames[at];
      if (frame === undefined) {
        this.memory.unreserve(1);
        this.untouched--;
        continue;
      }
      this.frames[at] = undefined;
      this.memory.put(frame);
      // A device that still has the page pinned keeps it; the process's buffer goes.
      if (frame.refs > 0) frame.bytes = frame.bytes.slice();
    }
  }
}

/** Makes every view of a buffer empty, without copying it. */
function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}
