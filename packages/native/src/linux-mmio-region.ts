import { EFAULT, EINVAL, ENODEV, ERANGE, type MmioRegion, SystemError } from '@usrdrv/core';
import type { Addon } from './addon.ts';

/** No handle: every access is EBADF. */
const CLOSED = -1;

/** Register access through a mapping: each call is one load or store of its width, in C++. */
export class LinuxMmioRegion implements MmioRegion {
  readonly length: number;
  readonly #addon: Addon;
  #handle: number;

  constructor(addon: Addon, handle: number, length: number) {
    this.#addon = addon;
    this.#handle = handle;
    this.length = length;
  }

  // The addon checks everything, once. What it refuses is looked into afterwards.

  read8(offset: number): number {
    const value = this.#addon.read8(this.#handle, offset);
    return value >= 0 ? value : this.#refuse(value, 1, offset);
  }

  read16(offset: number): number {
    const value = this.#addon.read16(this.#handle, offset);
    return value >= 0 ? value : this.#refuse(value, 2, offset);
  }

  read32(offset: number): number {
    const value = this.#addon.read32(this.#handle, offset);
    return value >= 0 ? value : this.#refuse(value, 4, offset);
  }

  read64(offset: number): bigint {
    const value = this.#addon.read64(this.#handle, offset);
    return typeof value === 'bigint' ? value : this.#refuse(value, 8, offset);
  }

  write8(offset: number, value: number): void {
    const result = this.#addon.write8(this.#handle, offset, value);
    if (result < 0) this.#refuse(result, 1, offset, value);
  }

  write16(offset: number, value: number): void {
    const result = this.#addon.write16(this.#handle, offset, value);
    if (result < 0) this.#refuse(result, 2, offset, value);
  }

  write32(offset: number, value: number): void {
    const result = this.#addon.write32(this.#handle, offset, value);
    if (result < 0) this.#refuse(result, 4, offset, value);
  }

  write64(offset: number, value: bigint): void {
    const result = this.#addon.write64(this.#handle, offset, value);
    if (result < 0) this.#refuse(result, 8, offset, value);
  }

  close(): void {
    if (this.#handle !== CLOSED) this.#addon.closeMmio(this.#handle);
    this.#handle = CLOSED;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #refuse(result: number, width: number, offset: number, value?: number | bigint): never {
    switch (-result) {
      case EINVAL:
        throw this.#badOffset(width, offset);
      case ERANGE:
        throw new RangeError(`${String(value)} is no unsigned integer of ${8 * width} bits`);
      case EFAULT:
        throw new SystemError('EFAULT', 'mmio', { detail: 'the mapping does not allow it' });
      case ENODEV:
        throw new SystemError('ENODEV', 'mmio', { detail: 'nothing is behind the mapping any more' });
      default:
        throw new SystemError('EBADF', 'mmio', { detail: this.#handle === CLOSED ? 'closed' : 'no longer mapped' });
    }
  }

  #badOffset(width: number, offset: number): RangeError {
    if (!Number.isInteger(offset) || offset < 0 || offset + width > this.length) {
      return new RangeError(
        `${width} bytes at offset ${String(offset)} are outside the region of ${this.length} bytes`,
      );
    }
    return new RangeError(`offset 0x${offset.toString(16)} is not aligned for an access of ${width} bytes`);
  }
}
