/**
 * A function's configuration space. Every access is of the width that it names. An `offset` is in bytes and has to be a
 * multiple of the width; values are unsigned.
 *
 * @throws RangeError an offset that is no integer, is negative, misaligned or past `length`; a value that is no integer or
 *   does not fit the width. Nothing has reached the device then.
 * @throws SystemError EBADF after the device was closed; EACCES or EPERM without the right to that part; EIO
 */
export interface ConfigSpace {
  /** Bytes: 256 of PCI, 4096 of PCI Express. */
  readonly length: 256 | 4096;
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
}

/** Offsets of the registers of the predefined header (PCI Local Bus 3.0, section 6.1), by their names in Linux. */
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
/** 32 bits: the revision in the low byte, the class code in the other three. */
export const PCI_CLASS_REVISION = 0x08;
export const PCI_CACHE_LINE_SIZE = 0x0c;
export const PCI_LATENCY_TIMER = 0x0d;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

/** Bits of the command register (section 6.2.2). */
export const PCI_COMMAND_IO = 0x001;
export const PCI_COMMAND_MEMORY = 0x002;
export const PCI_COMMAND_MASTER = 0x004;
export const PCI_COMMAND_INTX_DISABLE = 0x400;

/** Bits of the status register (section 6.2.3). */
export const PCI_STATUS_INTERRUPT = 0x08;
export const PCI_STATUS_CAP_LIST = 0x10;

/** The predefined header, decoded. */
export interface PciHeader {
  /** 0xffff where no function answers. */
  readonly vendorId: number;
  readonly deviceId: number;
  /** See the PCI_COMMAND_ bits. */
  readonly command: number;
  /** See the PCI_STATUS_ bits. */
  readonly status: number;
  readonly revision: number;
  /** Base class, sub-class and programming interface in one: 0x010802 is an NVMe controller. */
  readonly classCode: number;
  /** The layout of the rest: 0 a device, 1 a PCI bridge, 2 a CardBus bridge. */
  readonly headerType: number;
  /** Whether the slot may have functions other than 0. */
  readonly multiFunction: boolean;
  /** Only in layout 0, as is `subsystemId`. */
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  /** 1 to 4 for INTA# to INTD#; 0 for a function without an interrupt pin. */
  readonly interruptPin: number;
  /** What the firmware wrote for the operating system; the line that Linux uses is in sysfs. */
  readonly interruptLine: number;
}

/**
 * Reads and decodes the predefined header.
 * @throws SystemError as {@link ConfigSpace}
 */
export function readHeader(config: ConfigSpace): PciHeader {
  const id = config.read32(PCI_VENDOR_ID);
  const classRevision = config.read32(PCI_CLASS_REVISION);
  const layout = config.read8(PCI_HEADER_TYPE);
  const headerType = layout & 0x7f;
  return {
    vendorId: id & 0xffff,
    deviceId: id >>> 16,
    command: config.read16(PCI_COMMAND),
    status: config.read16(PCI_STATUS),
    revision: classRevision & 0xff,
    classCode: classRevision >>> 8,
    headerType,
    multiFunction: (layout & 0x80) !== 0,
    ...(headerType === 0 && {
      subsystemVendorId: config.read16(PCI_SUBSYSTEM_VENDOR_ID),
      subsystemId: config.read16(PCI_SUBSYSTEM_ID),
    }),
    interruptPin: config.read8(PCI_INTERRUPT_PIN),
    interruptLine: config.read8(PCI_INTERRUPT_LINE),
  };
}

/**
 * Checks an access for those who implement {@link ConfigSpace}.
 * @param width bytes: 1, 2 or 4
 * @param values for a write, what is written
 * @throws RangeError as the interface says
 */
export function checkConfigAccess(
  config: { readonly length: number },
  offset: number,
  width: number,
  ...values: readonly number[]
): void {
  if (!Number.isInteger(offset) || offset < 0 || offset + width > config.length) {
    throw new RangeError(
      `${width} bytes at ${String(offset)} are outside the ${config.length} bytes of configuration space`,
    );
  }
  if (offset % width !== 0) {
    throw new RangeError(`configuration offset 0x${offset.toString(16)} is not a multiple of ${width}`);
  }
  for (const value of values) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
      throw new RangeError(`${String(value)} does not fit ${8 * width} unsigned bits`);
    }
  }
}
