import { type MmioRegion, SystemError } from '@usrdrv/core';

/** The processor's side of the bus: one access of `width` bytes to a physical address. */
export interface PhysicalBus {
  mmioRead(physical: number, width: number): number | bigint;
  mmioWrite(physical: number, width: number, value: number | bigint): void;
}

/** Where a mapped address leads, or undefined where nothing is mapped any more. */
export interface PageTable {
  physical(address: number): number | undefined;
}

/** Register access through a mapping of device memory. It lives as long as the mapping does. */
export class MmioMapping implements MmioRegion {
  #closed = false;

  constructor(
    private readonly bus: PhysicalBus,
    private readonly pages: PageTable,
    private readonly address: number,
    readonly length: number,
  ) {}

  read8(offset: number): number {
    return Number(this.bus.mmioRead(this.#at(offset, 1), 1));
  }

  read16(offset: number): number {
    return Number(this.bus.mmioRead(this.#at(offset, 2), 2));
  }

  read32(offset: number): number {
    return Number(this.bus.mmioRead(this.#at(offset, 4), 4));
  }

  read64(offset: number): bigint {
    return BigInt(this.bus.mmioRead(this.#at(offset, 8), 8));
  }

  write8(offset: number, value: number): void {
    this.bus.mmioWrite(this.#at(offset, 1), 1, unsigned(value, 0xff));
  }

  write16(offset: number, value: number): void {
    this.bus.mmioWrite(this.#at(offset, 2), 2, unsigned(value, 0xffff));
  }

  write32(offset: number, value: number): void {
    this.bus.mmioWrite(this.#at(offset, 4), 4, unsigned(value, 0xffff_ffff));
  }

  write64(offset: number, value: bigint): void {
    const physical = this.#at(offset, 8);
    if (typeof value !== 'bigint' || value < 0n || value > 0xffff_ffff_ffff_ffffn) {
      throw new RangeError(`${String(value)} is no unsigned 64-bit bigint`);
    }
    this.bus.mmioWrite(physical, 8, value);
  }

  close(): void {
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #at(offset: number, width: number): number {
    if (this.#closed) throw new SystemError('EBADF', 'mmio', { detail: 'the region is closed' });
    if (!Number.isInteger(offset) || offset < 0 || offset + width > this.length) {
      throw new RangeError(`${width} bytes at offset ${String(offset)} are outside the region of ${this.length} bytes`);
    }
    if (offset % width !== 0) {
      throw new RangeError(`offset 0x${offset.toString(16)} is not a multiple of the access width ${width}`);
    }
    const physical = this.pages.physical(this.address + offset);
    if (physical === undefined) throw new SystemError('EBADF', 'mmio', { detail: 'the memory is no longer mapped' });
    return physical;
  }
}

function unsigned(value: number, most: number): number {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new RangeError(`${String(value)} is no unsigned integer up to 0x${most.toString(16)}`);
  }
  return value;
}
