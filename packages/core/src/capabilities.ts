import {
  type ConfigSpace,
  PCI_CAPABILITY_LIST,
  PCI_HEADER_TYPE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from './config-space.ts';

/** One entry of a capability list. */
export interface Capability {
  /** What it is: one of the PCI_CAP_ID_ numbers, or for an extended capability one of the PCI Express specification's. */
  readonly id: number;
  /** Where it starts in configuration space. */
  readonly offset: number;
}

/** One entry of the extended list. */
export interface ExtendedCapability extends Capability {
  readonly version: number;
}

/** Capability numbers (PCI Code and ID Assignment), by their names in Linux. */
export const PCI_CAP_ID_PM = 0x01;
export const PCI_CAP_ID_MSI = 0x05;
export const PCI_CAP_ID_VNDR = 0x09;
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_CAP_ID_MSIX = 0x11;

const CARDBUS = 2;
const PCI_CB_CAPABILITY_LIST = 0x14;
const FIRST = 0x40;
const FIRST_EXTENDED = 0x100;

/**
 * Walks the capability list (PCI 3.0, section 6.7). A list that is broken, as on a device that has been pulled or has not
 * come out of reset, ends where it breaks: at a pointer into the header, at an entry seen before, at an id of 0xff.
 * @returns the entries in the list's order; none where the function has no list
 * @throws SystemError as {@link ConfigSpace}
 */
export function capabilities(config: ConfigSpace): Capability[] {
  const found: Capability[] = [];
  if ((config.read16(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return found;
  const cardBus = (config.read8(PCI_HEADER_TYPE) & 0x7f) === CARDBUS;
  const seen = new Set<number>();
  // The lowest two bits are reserved: software masks them.
  let offset = config.read8(cardBus ? PCI_CB_CAPABILITY_LIST : PCI_CAPABILITY_LIST) & 0xfc;
  while (offset >= FIRST && !seen.has(offset)) {
    seen.add(offset);
    const header = config.read16(offset);
    const id = header & 0xff;
    if (id === 0xff) break;
    found.push({ id, offset });
    offset = (header >>> 8) & 0xfc;
  }
  return found;
}

/**
 * Walks the extended capability list of PCI Express (section 7.6), with the same care.
 * @returns the entries in the list's order; none in 256 bytes of configuration space
 * @throws SystemError as {@link ConfigSpace}
 */
export function extendedCapabilities(config: ConfigSpace): ExtendedCapability[] {
  const found: ExtendedCapability[] = [];
  const seen = new Set<number>();
  let offset = FIRST_EXTENDED;
  while (offset >= FIRST_EXTENDED && offset + 4 <= config.length && !seen.has(offset)) {
    seen.add(offset);
    const header = config.read32(offset);
    // All zeros: no list. All ones: nobody answers.
    if (header === 0 || header === 0xffff_ffff) break;
    found.push({ id: header & 0xffff, version: (header >>> 16) & 0xf, offset });
    offset = (header >>> 20) & 0xffc;
  }
  return found;
}

/** Where the first capability of that number starts, or undefined. */
export function findCapability(config: ConfigSpace, id: number): number | undefined {
  return capabilities(config).find((capability) => capability.id === id)?.offset;
}
