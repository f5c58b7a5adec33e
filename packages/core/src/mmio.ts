/**
 * A device's registers. Memory is bytes, registers are calls: each call below is exactly one load or store of the width
 * that it names, in program order, never merged, split, narrowed, repeated or left out. That is why a register is never
 * reached through a `Uint32Array`, whatever the backend.
 *
 * Values are unsigned. An `offset` is in bytes from the start of the region and has to be a multiple of the width.
 *
 * @throws RangeError an offset that is not an integer, is negative, misaligned or runs past `length`; a value that is not
 *   an integer or does not fit the width. Nothing has reached the device then.
 * @throws SystemError EBADF after the region was closed; ENODEV where the device has been removed and the backend can
 *   tell (a read of a removed device yields all ones otherwise, as on the bus)
 */
export interface MmioRegion extends Disposable {
  /** Bytes in the region. */
  readonly length: number;
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  read64(offset: number): bigint;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  write64(offset: number, value: bigint): void;
  /** Unmaps the region. Again does nothing. */
  close(): void;
}
