import type { ConfigSpace } from './config-space.ts';
import type { DmaMapper } from './dma.ts';
import type { IrqSource } from './irq.ts';
import type { MmioRegion } from './mmio.ts';
import type { PciAddress } from './pci-address.ts';

/** A function found on the bus, not opened: enough to match a driver by. */
export interface PciFunction {
  readonly address: PciAddress;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Base class, sub-class and programming interface in one: 0x010802 is an NVMe controller. */
  readonly classCode: number;
}

/** The PCI buses of a machine. */
export interface PciBus<D extends PciDevice = PciDevice> {
  /**
   * Every function that the kernel shows, by ascending address.
   * @throws SystemError EBADF the backend is closed; EACCES
   */
  scan(): Iterable<PciFunction>;
  /**
   * Claims a function for this process, enables it and makes it a bus master (U1).
   * @param o.dmaMask the addresses that the device can reach, as a mask: 0xfff_ffffn for 28 bits; 0n keeps the kernel's 32
   * @throws TypeError an address that is neither a PciAddress nor a string of its form
   * @throws RangeError a slot above 1f or a function above 7; a dmaMask that is no bigint of 64 bits
   * @throws SystemError ENOENT no such function; EBUSY claimed already; EIO the mask cannot be met; EPERM; ENOMEM; EMFILE;
   *   ENFILE; EBADF the backend is closed
   */
  open(address: PciAddress | string, o: { readonly dmaMask: bigint }): D;
}

/**
 * An opened function. Closing it gives the interrupts back, stops bus mastering, and then gives back whatever was mapped
 * (U2): regions, DMA mappings, consistent memory. Every call after that throws SystemError EBADF.
 */
export interface PciDevice extends Disposable {
  readonly address: PciAddress;
  readonly config: ConfigSpace;
  readonly dma: DmaMapper;
  /**
   * Maps the memory that a base address register decodes. The same region each time, until closed.
   * @throws RangeError an index that is no integer from 0 to 5
   * @throws SystemError ENODEV a BAR that is not there, or is the upper half of a 64-bit one; EINVAL an I/O-port BAR;
   *   EACCES, EPERM
   */
  bar(index: number): MmioRegion;
  /**
   * Opens the device's interrupt: without a vector its INTx line, with one that MSI or MSI-X vector, counted from 0.
   * A device sends one or the other: while a vector is open there is no INTx, and the other way round.
   * @throws RangeError a vector that is no integer >= 0
   * @throws SystemError EBUSY opened already, or the other kind is open; ENODEV no interrupt pin, or one that
   *   leads nowhere; ENOSPC more vectors than the device has; ENOSYS a backend without MSI (see {@link Supports.msi})
   */
  irq(vector?: number): IrqSource;
  /** Closes the device, its regions, interrupts and mappings. Again does nothing. */
  close(): void;
}
