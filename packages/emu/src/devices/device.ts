import type { Timer } from '../machine/clock.ts';

/**
 * A device of one's own: what stands in its configuration header, which BARs it has, and what it does once it has power.
 * `machine.pci.plug(device)` puts it in a slot.
 *
 * This is the side that drivers see. The other side, the back door that tests drive (break it, look inside), is
 * whatever else the object offers.
 *
 * The tutorial in docs/tutorial-device.md builds one.
 */
export interface DeviceModel {
  /** What traces and reports call it: `'edu'`. */
  readonly name: string;
  readonly config: DeviceConfig;
  /** By BAR number, 0 to 5. A hole is `undefined`, and so is the slot after a 64-bit BAR. */
  readonly bars: readonly (Bar | undefined)[];

  /**
   * The device has been plugged in and has power. It starts from its reset state, also when it has been here before:
   * state that is made here is.
   * @param bus what it can do by itself from now on
   * @returns what answers when the processor accesses its BARs
   */
  attach(bus: DeviceBus): AccessHandlers;
}

/** A device's registers: what happens at each access of the processor to its BARs. Each may have side effects. */
export interface AccessHandlers {
  /**
   * A load: called once for each.
   * @param offset bytes from the start of the BAR, a multiple of `width`
   * @param width bytes: 1, 2 or 4
   * @param bar which BAR
   * @returns the value, of which the low `8 * width` bits count: -1 is all ones
   */
  read(offset: number, width: Width, bar: number): number;

  /**
   * A store: called once for each.
   * @param value unsigned, `8 * width` bits
   */
  write(offset: number, value: number, width: Width, bar: number): void;

  /** A load of 8 bytes, of which the low 64 bits count. Without it there are two of 4, the lower half first. */
  read64?(offset: number, bar: number): bigint;

  /** A store of 8 bytes, unsigned. Without it there are two of 4, the lower half first. */
  write64?(offset: number, value: bigint, bar: number): void;
}

/** Bytes in one access. */
export type Width = 1 | 2 | 4;

/** What a device's configuration space starts from (PCI Local Bus 3.0, section 6.1). */
export interface DeviceConfig {
  /** 16 bits; 0xffff means that nobody is there, and cannot be used. */
  readonly vendorId: number;
  /** 16 bits. */
  readonly deviceId: number;
  /** 24 bits: base class, sub-class, programming interface. 0xff0000 fits no defined class. */
  readonly classCode: number;
  /** 8 bits; 0 where left out. */
  readonly revision?: number;
  /** 16 bits; 0 where left out. */
  readonly subsystemVendorId?: number;
  /** 16 bits; 0 where left out. */
  readonly subsystemId?: number;
  /** 1 to 4 for INTA# to INTD#. Left out, or 0, the device has no interrupt line. */
  readonly interruptPin?: number;
  /** Message-signalled interrupts: how many vectors the device asks for, a power of two up to 32. */
  readonly msi?: { readonly vectors: number };
}

/** A base address register, for memory: what it asks the machine to place somewhere. */
export interface Bar {
  /** Bytes: a power of two, 16 or more. */
  readonly size: number;
  /** Whether it can be placed above 4 GiB, for which it takes two registers. */
  readonly is64Bit?: boolean;
  /** Whether loads have no side effects. */
  readonly prefetchable?: boolean;
}

/** What a device does by itself: time, memory, interrupts. Once it has been unplugged, none of this has any effect. */
export interface DeviceBus {
  /** Virtual nanoseconds since the machine was switched on. */
  readonly now: number;

  /**
   * Work that takes time: calls `run` when `ns` virtual nanoseconds have passed. It never does if the device is unplugged
   * meanwhile, or if the machine's oracle lets the device stall there (`device.stall`).
   * @throws RangeError a time that is negative, NaN or infinite
   */
  after(ns: number, run: () => void): Timer;

  /**
   * Reads memory, as a bus master.
   * @param address a bus address, 64 bits unsigned
   * @param into as long as the transfer
   * @returns false where the bus refused: bus mastering is off, the memory is not mapped for this device to read, or the
   *   machine's oracle says so (`dma.error`). Bytes before the first that was refused are in `into`, the rest of it is as
   *   it was.
   */
  dmaRead(address: bigint | number, into: Uint8Array): boolean;

  /**
   * Writes memory, as a bus master.
   * @param address a bus address, 64 bits unsigned
   * @param from as long as the transfer
   * @returns false as for {@link DeviceBus.dmaRead}; bytes before the first that was refused have been written
   */
  dmaWrite(address: bigint | number, from: Uint8Array): boolean;

  /**
   * Something happened that the driver has to hear of. With MSI enabled, sends the vector's message: one for each call.
   * Otherwise holds the interrupt line, until {@link DeviceBus.lowerInterrupt}; raising it again does nothing then.
   * @param vector from 0. The kernel may grant fewer than asked for: those that it did not grant share the last one.
   */
  raiseInterrupt(vector?: number): void;

  /** Nothing is left for the driver to see to: lets the interrupt line go. With MSI enabled it does nothing. */
  lowerInterrupt(): void;
}
