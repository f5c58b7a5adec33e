import {
  EFAULT,
  EINVAL,
  ENOMEM,
  type KernelProfile,
  MAP_PRIVATE,
  MAP_SHARED,
  type MmioRegion,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Frame, PhysicalMemory } from '../machine/memory.ts';
import { MmapLock } from './mmap-lock.ts';
import { MmioMapping, type PhysicalBus } from './mmio-mapping.ts';
import { type Step, type Steps, step } from './step.ts';
import { accessOk, copyFromUser, copyToUser, putInt32 } from './uaccess.ts';
import { Backing, DeviceTarget, MemoryTarget, Vma, type VmOps } from './vma.ts';
import { pageAlign, TASK_SIZE, VmaTree } from './vma-tree.ts';

/** Between two pages of a pin: another thread gets in here where no lock keeps it out (UD5). */
const PIN: Step = step('U4.pin');

/**
 * The address space of a process (struct mm_struct). Kernel code reaches user memory through it and nowhere else, so
 * that EFAULT is real. The calls that change mappings are made with {@link mmapLock} held.
 */
export class MmStruct {
  readonly mmapLock: MmapLock = new MmapLock();
  /** Pages pinned for devices, counted against RLIMIT_MEMLOCK (pinned_vm). */
  pinnedPages = 0;
  /** Bytes that the kernel has copied to and from the process so far: what direct I/O is there to avoid. */
  copied = 0;
  readonly #vmas = new VmaTree();
  #lastAddress = virtualAddress(0);
  #lastNumber = 0;
  #otherAddress = virtualAddress(0);
  #otherNumber = 0;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly bus: PhysicalBus,
  ) {}

  /** mmap(2) of anonymous memory, private or shared. The address, or -errno. */
  mmap(address: VirtualAddress, length: number, prot: number, flags: number): VirtualAddress | number {
    const size = pageAlign(length);
    const start = this.#area(address, length, flags);
    if (start < 0) return start;
    if (!this.memory.reserve(size / PAGE_SIZE)) return -ENOMEM;
    const target = new MemoryTarget(new Backing(size, this.memory), 0);
    return this.#map(new Vma(start, start + size, prot, (flags & MAP_SHARED) !== 0, target));
  }

  /** mmap(2) of device memory, from a physical address on. The address, or -errno. */
  mapDevice(
    address: VirtualAddress,
    length: number,
    prot: number,
    flags: number,
    physical: number,
  ): VirtualAddress | number {
    const start = this.#area(address, length, flags);
    if (start < 0) return start;
    return this.#map(new Vma(start, start + pageAlign(length), prot, true, new DeviceTarget(physical)));
  }

  /** Maps one page of the kernel's, readable and writable, and holds a reference to it. The address, or -errno. */
  mapKernelPage(frame: Frame, ops: VmOps): VirtualAddress | number {
    const start = this.#vmas.unmappedArea(0, PAGE_SIZE, 0);
    if (start < 0) return start;
    const backing = new Backing(PAGE_SIZE, this.memory);
    backing.bytes.set(frame.bytes);
    frame.bytes = backing.page(0);
    this.memory.get(frame);
    backing.adopt(0, frame);
    const target = new MemoryTarget(backing, 0, ops);
    return this.#map(new Vma(start, start + PAGE_SIZE, PROT_READ | PROT_WRITE, true, target));
  }

  /** munmap(2). The views of what goes have length 0 afterwards, once nothing of its mmap(2) is left. */
  munmap(address: VirtualAddress, length: number): number {
    const start = Number(address);
    const size = pageAlign(length);
    if (start % PAGE_SIZE !== 0 || !(size > 0) || !accessOk(start, size)) return -EINVAL;
    this.#unmap(start, start + size);
    return 0;
  }

  /**
   * mremap(2). Memory that grows gets a new ArrayBuffer with the old contents, and the views of the old one are
   * detached; memory that shrinks keeps its buffer.
   */
  mremap(address: VirtualAddress, oldLength: number, newLength: number, flags: number): VirtualAddress | number {
    const start = Number(address);
    const [oldSize, newSize] = [pageAlign(oldLength), pageAlign(newLength)];
    if ((flags & ~MREMAP_MAYMOVE) !== 0 || start % PAGE_SIZE !== 0) return -EINVAL;
    if (!(oldSize > 0) || !(newSize > 0)) return -EINVAL;
    const vma = this.#vmas.find(start);
    if (vma === undefined || start + oldSize > vma.end) return -EFAULT;
    if (newSize <= oldSize) {
      if (newSize < oldSize) this.#unmap(start + newSize, start + oldSize);
      return address;
    }
    const { target } = vma;
    if (target.kind === 'device' || target.ops?.dontExpand === true) return -EFAULT;
    // Two processes would have to agree on the new storage.
    if (target.backing.sharedByFork) return -ENOMEM;
    const inPlace = start + oldSize === vma.end && this.#vmas.isFree(vma.end, start + newSize);
    if (!inPlace && (flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    const to = inPlace ? start : this.#vmas.unmappedArea(0, newSize, 0);
    if (to < 0) return to;
    if (!this.memory.reserve(newSize / PAGE_SIZE)) return -ENOMEM;
    const backing = new Backing(newSize, this.memory);
    backing.takeOver(target.backing, target.offset + start - vma.start, oldSize);
    this.#vmas.cut(start, start + oldSize);
    target.backing.drop(target.offset + start - vma.start, oldSize);
    const moved = new Vma(to, to + newSize, vma.prot, vma.shared, new MemoryTarget(backing, 0, target.ops));
    const result = this.#map(moved);
    if (!inPlace) target.ops?.close();
    return result;
  }

  /** fork(2) of the address space, or undefined where memory has run out. Private memory is copied, shared memory shared. */
  fork(profile: KernelProfile): MmStruct | undefined {
    const child = new MmStruct(this.memory, this.bus);
    for (const vma of this.#vmas) {
      const { target } = vma;
      // VM_DONTCOPY: consistent memory is not inherited (U3).
      if (target.kind === 'memory' && target.ops !== undefined) continue;
      const copy = target.kind === 'memory' && !vma.shared ? this.#copy(vma, target, profile) : target.share();
      if (copy === undefined) {
        child.exit();
        return undefined;
      }
      child.#map(new Vma(vma.start, vma.end, vma.prot, vma.shared, copy));
    }
    return child;
  }

  /** exit_mmap(): the process has gone. */
  exit(): void {
    this.#unmap(0, TASK_SIZE);
  }

  /** See uaccess.ts for this and the next three. */
  accessOk(address: VirtualAddress, count: number): boolean {
    return accessOk(this.#number(address), count);
  }

  copyToUser(address: VirtualAddress, bytes: Uint8Array): boolean {
    this.copied += bytes.length;
    return copyToUser(this.#vmas, this.#number(address), bytes);
  }

  copyFromUser(address: VirtualAddress, length: number): Uint8Array<ArrayBuffer> | undefined {
    this.copied += length;
    return copyFromUser(this.#vmas, this.#number(address), length);
  }

  putInt32(address: VirtualAddress, value: number): boolean {
    this.copied += 4;
    return putInt32(this.#vmas, this.#number(address), value);
  }

  /** The address as a number. Two who read in a loop have two buffers, and a conversion costs as much as a call. */
  #number(address: VirtualAddress): number {
    if (address === this.#lastAddress) return this.#lastNumber;
    const number = address === this.#otherAddress ? this.#otherNumber : Number(address);
    this.#otherAddress = this.#lastAddress;
    this.#otherNumber = this.#lastNumber;
    this.#lastAddress = address;
    this.#lastNumber = number;
    return number;
  }

  /**
   * The process's own view of its memory; see core's UserProcess.bytes.
   * @throws RangeError a length that is no integer >= 0
   * @throws SystemError EFAULT unless the whole range lies in one readable and writable mapping of memory
   */
  bytes(address: VirtualAddress, length: number): Uint8Array<ArrayBuffer> {
    const start = checkRange(address, length);
    const vma = this.#vmas.find(start);
    if (vma?.target.kind !== 'memory' || !vma.writable || start + length > vma.end) {
      throw new SystemError('EFAULT', 'bytes', { detail: `${length} bytes at 0x${start.toString(16)}` });
    }
    const { backing, offset } = vma.target;
    const at = offset + start - vma.start;
    backing.touch(at, length);
    return backing.bytes.subarray(at, at + length);
  }

  /**
   * The process's own access to device memory that it has mapped; see core's UserProcess.mmio.
   * @throws RangeError a length that is no integer >= 0
   * @throws SystemError EFAULT unless the whole range lies in one mapping of device memory
   */
  mmio(address: VirtualAddress, length: number): MmioRegion {
    const start = checkRange(address, length);
    const vma = this.#vmas.find(start);
    if (vma?.target.kind !== 'device' || start + length > vma.end) {
      throw new SystemError('EFAULT', 'mmio', { detail: `${length} bytes at 0x${start.toString(16)}` });
    }
    return new MmioMapping(this.bus, this, start, length);
  }

  /** The frame behind an address; undefined where nothing is mapped, or nobody has touched it yet. */
  frame(address: VirtualAddress): Frame | undefined {
    const start = Number(address);
    const vma = this.#vmas.find(start);
    if (vma?.target.kind !== 'memory') return undefined;
    return vma.target.backing.frames[Math.floor((vma.target.offset + start - vma.start) / PAGE_SIZE)];
  }

  /** Where in physical memory an address of mapped device memory leads. */
  physical(address: number): number | undefined {
    const vma = this.#vmas.find(address);
    return vma?.target.kind === 'device' ? vma.target.physical + address - vma.start : undefined;
  }

  /**
   * get_user_pages(), pin_user_pages(): pins pages, from the one that holds `address` up to the first that cannot be
   * had. What a driver mapped, and device memory, is never pinned.
   * @param o.write the device will write: only writable pages are pinned, untouched ones are made first
   * @param o.longterm untouched pages are made even if the device only reads; otherwise it gets the zero page (UD8)
   */
  *pinUserPages(
    address: bigint,
    pages: number,
    o: { readonly write: boolean; readonly longterm: boolean },
  ): Steps<Frame[]> {
    const pinned: Frame[] = [];
    const first = Math.floor(Number(address) / PAGE_SIZE) * PAGE_SIZE;
    for (let at = first; pinned.length < pages; at += PAGE_SIZE) {
      const vma = this.#vmas.find(at);
      if (vma?.target.kind !== 'memory' || vma.target.ops !== undefined) break;
      if (!(o.write ? vma.writable : vma.readable)) break;
      const { backing, offset } = vma.target;
      const index = (offset + at - vma.start) / PAGE_SIZE;
      if (o.write || o.longterm) backing.touch(index * PAGE_SIZE, 1);
      const frame = backing.frames[index] ?? this.memory.zeroFrame;
      this.memory.pin(frame);
      pinned.push(frame);
      yield PIN;
    }
    return pinned;
  }

  /** Where a new mapping goes, or -errno. */
  #area(address: bigint, length: number, flags: number): number {
    const size = pageAlign(length);
    const kind = flags & (MAP_SHARED | MAP_PRIVATE);
    if (!(size > 0) || (kind !== MAP_SHARED && kind !== MAP_PRIVATE)) return -EINVAL;
    return this.#vmas.unmappedArea(Number(address), size, flags);
  }

  /** Enters a mapping; what was there, with MAP_FIXED, goes. */
  #map(vma: Vma): VirtualAddress {
    if (!this.#vmas.isFree(vma.start, vma.end)) this.#unmap(vma.start, vma.end);
    this.#vmas.insert(vma);
    return virtualAddress(vma.start);
  }

  #unmap(from: number, to: number): void {
    for (const { start, end, target } of this.#vmas.cut(from, to)) {
      if (target.kind !== 'memory') continue;
      target.backing.drop(target.offset, end - start);
      target.ops?.close();
    }
  }

  /** The child's copy of private memory. */
  #copy(vma: Vma, target: MemoryTarget, profile: KernelProfile): MemoryTarget | undefined {
    const size = vma.end - vma.start;
    if (!this.memory.reserve(size / PAGE_SIZE)) return undefined;
    const backing = new Backing(size, this.memory);
    // UD8: in 2.6.11 a pinned page is shared like any other; the parent writes first, and gets the copy. Since 5.12 a
    // pinned page is copied for the child at once, and stays the parent's.
    backing.copyFrom(target.backing, target.offset, profile === 'chubb-2.6.11');
    return new MemoryTarget(backing, 0);
  }
}

function checkRange(address: VirtualAddress, length: number): number {
  if (!Number.isSafeInteger(length) || length < 0)
    throw new RangeError(`length must be an integer >= 0, not ${length}`);
  return Number(address);
}
