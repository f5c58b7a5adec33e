import { type ConfigSpace, checkConfigAccess } from '@usrdrv/core';
import type { DeviceFile } from './device-file.ts';
import { VFIO_PCI_CONFIG_REGION_INDEX } from './uapi.ts';

/** Configuration space through its region of the device's file (V6). The kernel lets through what is harmless, and keeps the rest. */
export class VfioConfigSpace implements ConfigSpace {
  readonly length: 256 | 4096;
  readonly #device: DeviceFile;
  /** Where the region starts in the file. */
  readonly #start: number;

  constructor(device: DeviceFile) {
    const { size, offset } = device.region(VFIO_PCI_CONFIG_REGION_INDEX);
    this.length = size >= 4096 ? 4096 : 256;
    this.#start = offset;
    this.#device = device;
  }

  read8(offset: number): number {
    return this.#read(offset, 1);
  }

  read16(offset: number): number {
    return this.#read(offset, 2);
  }

  read32(offset: number): number {
    return this.#read(offset, 4);
  }

  write8(offset: number, value: number): void {
    this.#write(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.#write(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, value);
  }

  #read(offset: number, width: number): number {
    checkConfigAccess(this, offset, width);
    return this.#device.read(this.#start + offset, width);
  }

  #write(offset: number, width: number, value: number): void {
    checkConfigAccess(this, offset, width, value);
    this.#device.write(this.#start + offset, width, value);
  }
}
