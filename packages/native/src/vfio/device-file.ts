import { checkResult, SystemError } from '@usrdrv/core';
import { closed } from '@usrdrv/core/backend-parts';
import type { Addon } from '../addon.ts';
import { filledIn } from './filled-in.ts';
import {
  decodeDeviceFlags,
  decodeIrqCount,
  decodeRegionInfo,
  type RegionInfo,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_NONE,
} from './uapi.ts';

/** The file of an opened device, until it is closed (EBADF from then on), or given back because the kernel wants it (ENODEV). */
export class DeviceFile {
  readonly path: string;
  readonly #addon: Addon;
  #fd: number;
  #removed = false;

  /** @param fd the file's from now on */
  constructor(addon: Addon, fd: number, path: string) {
    this.#addon = addon;
    this.#fd = fd;
    this.path = path;
  }

  get removed(): boolean {
    return this.#removed;
  }

  /**
   * The descriptor.
   * @throws SystemError EBADF closed; ENODEV removed
   */
  fd(syscall: string): number {
    if (this.#removed) throw new SystemError('ENODEV', syscall, { path: this.path, detail: 'the device was removed' });
    if (this.#fd < 0) throw closed(syscall, this.path);
    return this.#fd;
  }

  /** VFIO_DEVICE_FLAGS_ */
  flags(): number {
    const name = 'VFIO_DEVICE_GET_INFO';
    return decodeDeviceFlags(filledIn(this.#addon.vfioGetDeviceInfo(this.fd(name)), name, this.path));
  }

  region(index: number): RegionInfo {
    const name = 'VFIO_DEVICE_GET_REGION_INFO';
    return decodeRegionInfo(filledIn(this.#addon.vfioGetRegionInfo(this.fd(name), index), name, this.path));
  }

  /** How many interrupts the device has of a kind; none of one that it does not know. */
  irqs(index: number): number {
    const info = this.#addon.vfioGetIrqInfo(this.fd('VFIO_DEVICE_GET_IRQ_INFO'), index);
    return typeof info === 'number' ? 0 : decodeIrqCount(info);
  }

  /** @returns 0; more where the kernel could allocate only so many vectors, and allocated none then */
  setIrqs(flags: number, index: number, start: number, count: number, eventfds?: Int32Array): number {
    const name = 'VFIO_DEVICE_SET_IRQS';
    return checkResult(this.#addon.vfioSetIrqs(this.fd(name), flags, index, start, count, eventfds), name, this.path);
  }

  /** Signals an interrupt as if it had happened (V9). */
  trigger(index: number, vector: number): void {
    this.setIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, vector, 1);
  }

  /** Takes all triggers of a kind off. */
  disable(index: number): void {
    this.setIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);
  }

  /** @throws SystemError ENOTTY a function that cannot be reset */
  reset(): void {
    const name = 'VFIO_DEVICE_RESET';
    if ((this.flags() & VFIO_DEVICE_FLAGS_RESET) === 0) {
      throw new SystemError('ENOTTY', name, { path: this.path, detail: 'the function cannot be reset by itself' });
    }
    checkResult(this.#addon.vfioReset(this.fd(name)), name, this.path);
  }

  /** @param offset in the file */
  read(offset: number, width: number): number {
    return checkResult(this.#addon.vfioReadRegion(this.fd('pread'), offset, width), 'pread', this.path);
  }

  write(offset: number, width: number, value: number): void {
    checkResult(this.#addon.vfioWriteRegion(this.fd('pwrite'), offset, width, value), 'pwrite', this.path);
  }

  /** Closes it; from now on every call is ENODEV. */
  remove(): void {
    this.#removed = true;
    this.#close();
  }

  /** Closes it; from now on every call is EBADF. */
  close(): void {
    this.#removed = false;
    this.#close();
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) checkResult(this.#addon.close(fd), 'close', this.path);
  }
}
