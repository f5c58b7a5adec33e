/**
 * Three kinds of address that must never be mixed. All are plain `bigint`s at run time; the brand exists for the compiler only.
 */

declare const kind: unique symbol;

/** What a device puts on the bus: an I/O virtual address behind an IOMMU, a physical address without one. */
export type BusAddress = bigint & { readonly [kind]: 'bus' };

/** What the processor puts on the bus: where RAM frames and BARs are. */
export type PhysicalAddress = bigint & { readonly [kind]: 'physical' };

/** What a process computes with: an address in its own address space. 0 is the null pointer. */
export type VirtualAddress = bigint & { readonly [kind]: 'virtual' };

const TOP = 1n << 64n;

/**
 * Names a 64-bit value as a bus address.
 * @throws RangeError unless 0 <= value < 2^64
 */
export function busAddress(value: bigint | number): BusAddress {
  return checked(value, 'bus address') as BusAddress;
}

/**
 * Names a 64-bit value as a physical address.
 * @throws RangeError unless 0 <= value < 2^64
 */
export function physicalAddress(value: bigint | number): PhysicalAddress {
  return checked(value, 'physical address') as PhysicalAddress;
}

/**
 * Names a 64-bit value as a virtual address.
 * @throws RangeError unless 0 <= value < 2^64
 */
export function virtualAddress(value: bigint | number): VirtualAddress {
  return checked(value, 'virtual address') as VirtualAddress;
}

function checked(value: bigint | number, what: string): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new RangeError(`${what} must be an integer, not ${value}`);
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw new RangeError(`${what} must be a bigint or an integer, not ${typeof value}`);
  }
  const address = BigInt(value);
  if (address < 0n || address >= TOP) {
    throw new RangeError(`${what} ${address} is outside 64 bits`);
  }
  return address;
}
