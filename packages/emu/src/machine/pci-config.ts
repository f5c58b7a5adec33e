import {
  checkConfigAccess,
  PCI_BASE_ADDRESS_0,
  PCI_CACHE_LINE_SIZE,
  PCI_CAP_ID_MSI,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STATUS_INTERRUPT,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '@usrdrv/core';
import type { Bar, DeviceModel, Width } from '../devices/device.ts';

/** A base address register's type bits (PCI Local Bus 3.0, section 6.2.5.1). */
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x4;
export const PCI_BASE_ADDRESS_MEM_PREFETCH = 0x8;

/** Status: the function was refused as a bus master. Cleared by writing 1 (section 6.2.3). */
export const PCI_STATUS_REC_MASTER_ABORT = 0x2000;
/** Every status bit that a write of 1 clears. */
const STATUS_WRITE_1_TO_CLEAR = 0xf900;
const PCI_COMMAND_SERR = 0x100;

/** The MSI capability with a 64-bit address and without per-vector masking (section 6.8.1): where its parts are in it. */
export const PCI_MSI_FLAGS = 2;
export const PCI_MSI_ADDRESS_LO = 4;
export const PCI_MSI_ADDRESS_HI = 8;
export const PCI_MSI_DATA_64 = 12;
export const PCI_MSI_FLAGS_ENABLE = 0x01;
export const PCI_MSI_FLAGS_64BIT = 0x80;
/** Where it stands: right behind the predefined header. */
const MSI = 0x40;

/**
 * The configuration registers of one function: 256 bytes, and which bits of them software can change. Sizing a BAR is no
 * special case: the address bits below its size cannot be written, so all ones read back as the size.
 */
export class ConfigRegisters {
  readonly length = 256;
  readonly #view = new DataView(new ArrayBuffer(256));
  /** 1 for each bit that a write sets. */
  readonly #writable = new DataView(new ArrayBuffer(256));
  readonly #bars: readonly (Bar | undefined)[];
  readonly #hasMsi: boolean;
  /** Whether the function asks for its interrupt line, let through or not: status bit 3 (section 6.2.3), for it to set. */
  interruptStatus = false;
  /** Whether interrupts are sent as messages: kept, because each interrupt looks. */
  msiEnabled = false;
  /** Whether what the function asks for reaches its line: neither the command register nor MSI keeps it silent. */
  intxEnabled = true;

  /** @throws RangeError a header that is none, a BAR whose size is no power of two, ... */
  constructor({ config, bars }: DeviceModel) {
    this.#bars = bars;
    this.#hasMsi = config.msi !== undefined;
    const view = this.#view;
    view.setUint16(PCI_VENDOR_ID, field('vendorId', config.vendorId, 0xfffe), true);
    view.setUint16(PCI_DEVICE_ID, field('deviceId', config.deviceId, 0xffff), true);
    const revision = field('revision', config.revision ?? 0, 0xff);
    view.setUint32(PCI_CLASS_REVISION, field('classCode', config.classCode, 0xff_ffff) * 256 + revision, true);
    view.setUint16(PCI_SUBSYSTEM_VENDOR_ID, field('subsystemVendorId', config.subsystemVendorId ?? 0, 0xffff), true);
    view.setUint16(PCI_SUBSYSTEM_ID, field('subsystemId', config.subsystemId ?? 0, 0xffff), true);
    view.setUint8(PCI_INTERRUPT_PIN, field('interruptPin', config.interruptPin ?? 0, 4));
    this.#writable.setUint16(
      PCI_COMMAND,
      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
      true,
    );
    this.#writable.setUint8(PCI_CACHE_LINE_SIZE, 0xff);
    this.#writable.setUint8(PCI_INTERRUPT_LINE, 0xff);
    this.#initBars();
    if (config.msi !== undefined) this.#initMsi(config.msi.vectors);
  }

  /** @throws RangeError an access outside the registers, or misaligned */
  read(offset: number, width: Width): number {
    checkConfigAccess(this, offset, width);
    this.setStatus(PCI_STATUS_INTERRUPT, this.interruptStatus);
    return get(this.#view, offset, width);
  }

  /** @throws RangeError an access outside the registers, or misaligned; a value that does not fit */
  write(offset: number, value: number, width: Width): void {
    checkConfigAccess(this, offset, width, value);
    const writable = get(this.#writable, offset, width);
    let next = (get(this.#view, offset, width) & ~writable) | (value & writable);
    if (offset <= PCI_STATUS + 1 && offset + width > PCI_STATUS) {
      next &= ~(
        value &
        (offset < PCI_STATUS ? STATUS_WRITE_1_TO_CLEAR << 16 : STATUS_WRITE_1_TO_CLEAR >>> (8 * (offset - PCI_STATUS)))
      );
    }
    set(this.#view, offset, next, width);
    if (this.#hasMsi) this.#clampGranted();
    const msiFlags = this.#hasMsi ? this.#view.getUint16(MSI + PCI_MSI_FLAGS, true) : 0;
    this.msiEnabled = (msiFlags & PCI_MSI_FLAGS_ENABLE) !== 0;
    this.intxEnabled = !this.msiEnabled && (this.command & PCI_COMMAND_INTX_DISABLE) === 0;
  }

  get command(): number {
    return this.#view.getUint16(PCI_COMMAND, true);
  }

  /** Sets a status bit, or clears it. */
  setStatus(bit: number, on: boolean): void {
    const status = this.#view.getUint16(PCI_STATUS, true);
    this.#view.setUint16(PCI_STATUS, on ? status | bit : status & ~bit, true);
  }

  get msiAddress(): bigint {
    return this.#view.getBigUint64(MSI + PCI_MSI_ADDRESS_LO, true);
  }

  /** The data of a vector's message: its number stands in the low bits, as many as were granted. */
  msiData(vector: number): number {
    const granted = 1 << ((this.#view.getUint16(MSI + PCI_MSI_FLAGS, true) >> 4) & 7);
    const data = this.#view.getUint16(MSI + PCI_MSI_DATA_64, true);
    return (data & ~(granted - 1)) | Math.min(vector, granted - 1);
  }

  /** Where a BAR's window starts; undefined for one that is not there, not placed, or out of reach of a number. */
  barAddress(index: number): number | undefined {
    const bar = this.#bars[index];
    if (bar === undefined) return undefined;
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    const low = this.#view.getUint32(at, true) - (this.#view.getUint8(at) & 0xf);
    const high = bar.is64Bit === true ? this.#view.getUint32(at + 4, true) : 0;
    const address = high * 2 ** 32 + low;
    return address === 0 || !Number.isSafeInteger(address) ? undefined : address;
  }

  /** Places a BAR, as firmware does. */
  setBarAddress(index: number, address: number): void {
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    this.write(at, address % 2 ** 32, 4);
    if (this.#bars[index]?.is64Bit === true) this.write(at + 4, Math.floor(address / 2 ** 32), 4);
  }

  #initBars(): void {
    if (this.#bars.length > 6) throw new RangeError(`a device has up to 6 BARs, not ${this.#bars.length}`);
    for (const [index, bar] of this.#bars.entries()) {
      if (bar === undefined) continue;
      const { size, is64Bit = false, prefetchable = false } = bar;
      const limit = is64Bit ? 2 ** 48 : 2 ** 31;
      if (!(size >= 16 && size <= limit && Number.isInteger(Math.log2(size)))) {
        throw new RangeError(`BAR ${index} has a size that is a power of two from 16 to ${limit}, not ${size}`);
      }
      if (is64Bit && (index === 5 || this.#bars[index + 1] !== undefined)) {
        throw new RangeError(`BAR ${index} has 64 bits: BAR ${index + 1} is its upper half, and has to be left out`);
      }
      const at = PCI_BASE_ADDRESS_0 + 4 * index;
      const type = (is64Bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) | (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
      this.#view.setUint8(at, type);
      this.#writable.setUint32(at, size >= 2 ** 32 ? 0 : 2 ** 32 - size, true);
      if (is64Bit) this.#writable.setUint32(at + 4, 2 ** 32 - Math.max(1, size / 2 ** 32), true);
    }
  }

  #initMsi(vectors: number): void {
    const log2 = Math.log2(vectors);
    if (!(Number.isInteger(log2) && log2 <= 5)) {
      throw new RangeError(`a device asks for 1, 2, 4, 8, 16 or 32 MSI vectors, not ${vectors}`);
    }
    this.setStatus(PCI_STATUS_CAP_LIST, true);
    this.#view.setUint8(PCI_CAPABILITY_LIST, MSI);
    this.#view.setUint8(MSI, PCI_CAP_ID_MSI);
    this.#view.setUint16(MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | (log2 << 1), true);
    this.#writable.setUint16(MSI + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | 0x70, true);
    this.#writable.setUint32(MSI + PCI_MSI_ADDRESS_LO, 0xffff_fffc, true);
    this.#writable.setUint32(MSI + PCI_MSI_ADDRESS_HI, 0xffff_ffff, true);
    this.#writable.setUint16(MSI + PCI_MSI_DATA_64, 0xffff, true);
  }

  /** Software cannot grant more vectors than the function asked for. */
  #clampGranted(): void {
    const flags = this.#view.getUint16(MSI + PCI_MSI_FLAGS, true);
    const asked = (flags >> 1) & 7;
    if (((flags >> 4) & 7) > asked) this.#view.setUint16(MSI + PCI_MSI_FLAGS, (flags & ~0x70) | (asked << 4), true);
  }
}

function field(name: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} of a device is an integer from 0 to 0x${max.toString(16)}, not ${value}`);
  }
  return value;
}

function get(view: DataView, offset: number, width: Width): number {
  if (width === 1) return view.getUint8(offset);
  return width === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
}

function set(view: DataView, offset: number, value: number, width: Width): void {
  if (width === 1) view.setUint8(offset, value);
  else if (width === 2) view.setUint16(offset, value, true);
  else view.setUint32(offset, value, true);
}
