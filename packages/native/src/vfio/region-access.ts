import { type MmioRegion, SystemError } from '@usrdrv/core';
import type { DeviceFile } from './device-file.ts';

/** A part of a region that is mapped: where it starts, and its registers. */
export interface MappedArea {
  readonly offset: number;
  readonly registers: MmioRegion;
}

type Width = 1 | 2 | 4 | 8;

/**
 * The registers of a region of which the kernel maps only parts, or none (V6): what lies in such a part is reached by one
 * load or store, the rest by pread(2) and pwrite(2) of the device's file, which the kernel makes one access of.
 */
export class PartlyMappedRegisters implements MmioRegion {
  readonly length: number;
  readonly #areas: readonly MappedArea[];
  readonly #device: Pick<DeviceFile, 'read' | 'write' | 'path'>;
  /** Where the region starts in the file. */
  readonly #start: number;

  constructor(
    device: Pick<DeviceFile, 'read' | 'write' | 'path'>,
    start: number,
    length: number,
    areas: readonly MappedArea[],
  ) {
    this.#device = device;
    this.#start = start;
    this.length = length;
    this.#areas = areas;
  }

  read8(offset: number): number {
    const area = this.#areaOf(offset, 1);
    return area ? area.registers.read8(offset - area.offset) : this.#device.read(this.#start + offset, 1);
  }

  read16(offset: number): number {
    const area = this.#areaOf(offset, 2);
    return area ? area.registers.read16(offset - area.offset) : this.#device.read(this.#start + offset, 2);
  }

  read32(offset: number): number {
    const area = this.#areaOf(offset, 4);
    return area ? area.registers.read32(offset - area.offset) : this.#device.read(this.#start + offset, 4);
  }

  read64(offset: number): bigint {
    const area = this.#mapped(offset);
    return area.registers.read64(offset - area.offset);
  }

  write8(offset: number, value: number): void {
    this.#write(offset, 1, value, (area, at) => area.write8(at, value));
  }

  write16(offset: number, value: number): void {
    this.#write(offset, 2, value, (area, at) => area.write16(at, value));
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, value, (area, at) => area.write32(at, value));
  }

  write64(offset: number, value: bigint): void {
    const area = this.#mapped(offset);
    area.registers.write64(offset - area.offset, value);
  }

  close(): void {
    for (const { registers } of this.#areas) registers.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #write(offset: number, width: Width, value: number, mapped: (area: MmioRegion, at: number) => void): void {
    const area = this.#areaOf(offset, width);
    if (area !== undefined) {
      mapped(area.registers, offset - area.offset);
      return;
    }
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
      throw new RangeError(`${String(value)} is no unsigned integer of ${8 * width} bits`);
    }
    this.#device.write(this.#start + offset, width, value);
  }

  /** The mapped part that holds 8 bytes: pread(2) would make two accesses of them. */
  #mapped(offset: number): MappedArea {
    const area = this.#areaOf(offset, 8);
    if (area !== undefined) return area;
    const detail = `the kernel does not map 8 bytes at 0x${offset.toString(16)}, and would halve the access: use two of 4`;
    throw new SystemError('EOPNOTSUPP', 'mmio', { path: this.#device.path, detail });
  }

  /** @throws RangeError as {@link MmioRegion} says */
  #areaOf(offset: number, width: Width): MappedArea | undefined {
    if (!Number.isInteger(offset) || offset < 0 || offset + width > this.length) {
      throw new RangeError(`${width} bytes at offset ${String(offset)} are outside the region of ${this.length} bytes`);
    }
    if (offset % width !== 0) {
      throw new RangeError(`offset 0x${offset.toString(16)} is not aligned for an access of ${width} bytes`);
    }
    return this.#areas.find((each) => offset >= each.offset && offset + width <= each.offset + each.registers.length);
  }
}
