import { type PhysicalAddress, physicalAddress } from './address.ts';

/** Memory that a base address register decodes. */
export interface MemoryBar {
  readonly kind: 'memory';
  /** 0 to 5: which register; a 64-bit one takes the next too. */
  readonly index: number;
  /** Bits of address that the register holds. */
  readonly width: 32 | 64;
  readonly prefetchable: boolean;
  /** Where the processor finds it, which need not be what the register holds. */
  readonly address: PhysicalAddress;
  /** Bytes, >= 1. */
  readonly size: number;
}

/** I/O ports that a base address register decodes. */
export interface IoBar {
  readonly kind: 'io';
  /** 0 to 5: which register. */
  readonly index: number;
  /** The first port. */
  readonly port: number;
  /** Ports, >= 1. */
  readonly size: number;
}

export type Bar = MemoryBar | IoBar;

const BARS = 6;
// The flags of a resource: Linux's IORESOURCE_ bits, and in the lowest four the register's own (PCI 3.0, 6.2.5.1).
const MEM_TYPE_MASK = 0x6n;
const MEM_TYPE_64 = 0x4n;
const IORESOURCE_IO = 0x100n;
const IORESOURCE_MEM = 0x200n;
const IORESOURCE_PREFETCH = 0x2000n;

const LINE = /^0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16})$/i;

/**
 * Decodes the base address registers from a function's sysfs `resource` file, a line of `start end flags` for each.
 *
 * The kernel found the sizes by writing all ones to the registers before anything was decoding; asking the registers
 * again would take the device off the bus for a moment, so its table is the source here.
 * @param resource the file's text; what comes after the sixth line (ROM, bridge windows) is passed over
 * @returns an entry for each of the six registers, undefined where it decodes nothing or is the upper half of another
 * @throws RangeError a line of another form, an end before its start, a size above 2^53
 */
export function decodeBars(resource: string): (Bar | undefined)[] {
  const lines = resource.split('\n');
  return Array.from({ length: BARS }, (_, index) => decodeBar(index, lines[index] ?? ''));
}

function decodeBar(index: number, line: string): Bar | undefined {
  if (line.trim() === '') return undefined;
  const fields = LINE.exec(line.trim());
  if (fields === null) throw new RangeError(`BAR ${index}: '${line}' is not of the form 'start end flags'`);
  const [start = 0n, end = 0n, flags = 0n] = fields.slice(1).map((field) => BigInt(`0x${field}`));
  // An unused register, or one that the kernel found no room for.
  if (end === 0n || (flags & (IORESOURCE_IO | IORESOURCE_MEM)) === 0n) return undefined;
  const size = Number(end - start + 1n);
  if (size < 1 || size > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(`BAR ${index}: '${line}' is ${size} bytes long`);
  }
  if ((flags & IORESOURCE_IO) !== 0n) {
    if (end > 0xffff_ffffn) throw new RangeError(`BAR ${index}: '${line}' is no range of I/O ports`);
    return { kind: 'io', index, port: Number(start), size };
  }
  return {
    kind: 'memory',
    index,
    width: (flags & MEM_TYPE_MASK) === MEM_TYPE_64 ? 64 : 32,
    prefetchable: (flags & IORESOURCE_PREFETCH) !== 0n,
    address: physicalAddress(start),
    size,
  };
}
