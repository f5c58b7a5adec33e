import type { BusAddress } from './address.ts';

/** Who may write while the memory is the device's, named as in the kernel's DMA interface. */
export type DmaDirection = 'to-device' | 'from-device' | 'bidirectional';

/** One run of bus addresses of a mapping. */
export interface DmaSegment {
  readonly busAddress: BusAddress;
  /** Bytes, >= 1. */
  readonly length: number;
}

/** Memory that processor and device see alike, without a hand-over (M1): for descriptor rings and mailboxes. */
export interface ConsistentMemory extends Disposable {
  /** The memory, zeroed when allocated. Detached (length 0) after `free()`. */
  readonly bytes: Uint8Array;
  readonly busAddress: BusAddress;
  /** Gives the memory back. Again does nothing. The device must have been stopped before. */
  free(): void;
}

/** Page-aligned memory of the process, not yet mapped for any device. */
export interface UserMemory extends Disposable {
  /** The memory, zeroed when allocated. Detached (length 0) after `free()`. */
  readonly bytes: Uint8Array;
  /**
   * A part of this memory, to map less than all of it; it shares the bytes.
   * @throws RangeError unless 0 <= start < end <= length
   */
  subarray(start: number, end?: number): UserMemory;
  /**
   * Gives the memory back. Again does nothing; on a part it does nothing.
   * @throws SystemError EBUSY while a mapping of it exists
   */
  free(): void;
}

/** User memory in the hands of a device, from `map` to `unmap` (M2). */
export interface DmaMapping extends Disposable {
  readonly memory: UserMemory;
  readonly direction: DmaDirection;
  /** Where the device finds the memory, in order; together exactly as long as the memory (M7). */
  readonly segments: readonly DmaSegment[];
  /** Takes the memory back from the device (which must have been stopped), and unpins it. Again does nothing. */
  unmap(): void;
}

/** What one PCI device can reach of memory. */
export interface DmaMapper {
  /**
   * Allocates consistent memory. One page is always to be had; more only where {@link Supports.consistentLargerThanPage}.
   * It goes with the device: closing the device frees it.
   * @param size bytes, a positive integer; rounded up to pages underneath, exact in `bytes`
   * @throws RangeError a size that is no positive integer
   * @throws SystemError EINVAL a size that the backend does not offer; ENOMEM; EBADF the device is closed (U3)
   */
  allocConsistent(size: number): ConsistentMemory;
  /**
   * Allocates page-aligned memory of the process. It is not the device's: closing the device unmaps it and leaves it as it
   * is, until it is freed or the backend is closed.
   * @param size bytes, a positive integer; rounded up to pages underneath, exact in `bytes`
   * @throws RangeError a size that is no positive integer
   * @throws SystemError ENOMEM; EBADF the device is closed
   */
  allocUser(size: number): UserMemory;
  /**
   * Pins memory, programs the IOMMU where there is one, and hands the memory to the device.
   * @throws TypeError memory that does not come from this backend
   * @throws RangeError an unknown direction
   * @throws SystemError EFAULT freed memory; EINVAL more than one mapping takes, 4 GiB; ENOMEM also where RLIMIT_MEMLOCK is
   *   exceeded; EIO nothing was mapped; EBADF the device is closed (U4)
   */
  map(memory: UserMemory, direction: DmaDirection): DmaMapping;
}
