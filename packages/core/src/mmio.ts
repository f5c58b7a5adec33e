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
  /** Bytes in the region: of the BAR, or as many as `mapPhysical` was asked for. */
  readonly length: number;
  /** One load of 1 byte. @param offset bytes, 0 to `length - 1` @returns 0 to 0xff */
  read8(offset: number): number;
  /** One load of 2 bytes, little-endian. @param offset bytes, a multiple of 2 @returns 0 to 0xffff */
  read16(offset: number): number;
  /** One load of 4 bytes, little-endian. @param offset bytes, a multiple of 4 @returns 0 to 0xffff_ffff */
  read32(offset: number): number;
  /**
   * One load of 8 bytes, little-endian. A device that takes 4 bytes at a time needs two of {@link read32} instead: see
   * `r64` of a register map for the split.
   * @param offset bytes, a multiple of 8
   * @returns 0n to 0xffff_ffff_ffff_ffffn
   */
  read64(offset: number): bigint;
  /** One store of 1 byte. @param offset bytes, 0 to `length - 1` @param value 0 to 0xff */
  write8(offset: number, value: number): void;
  /** One store of 2 bytes, little-endian. @param offset bytes, a multiple of 2 @param value 0 to 0xffff */
  write16(offset: number, value: number): void;
  /** One store of 4 bytes, little-endian. @param offset bytes, a multiple of 4 @param value 0 to 0xffff_ffff */
  write32(offset: number, value: number): void;
  /** One store of 8 bytes, little-endian. @param offset bytes, a multiple of 8 @param value 0n to 0xffff_ffff_ffff_ffffn */
  write64(offset: number, value: bigint): void;
  /** Unmaps the region. Again does nothing. */
  close(): void;
}
