/** What a PCI address is made of. */
export interface PciAddressParts {
  /** Segment group, 0 to 2^32 - 1; 0 where left out. Above 0xffff Linux makes them up, for VMD controllers. */
  readonly domain?: number;
  /** 0 to 255. */
  readonly bus: number;
  /** 0 to 31: the kernel's word for what the specification calls a device number. */
  readonly slot: number;
  /** 0 to 7. */
  readonly function: number;
}

const FORM = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-9])$/i;

/**
 * Where a function is on the PCI buses, a frozen value. Its text is what lspci and sysfs print: `0000:00:04.0`.
 *
 * @example
 * ```ts
 * import { PciAddress } from '@usrdrv/core';
 * const address = PciAddress.parse('00:04.0');
 * console.assert(address.slot === 4);
 * console.assert(String(address) === '0000:00:04.0');
 * ```
 */
export class PciAddress {
  readonly domain: number;
  readonly bus: number;
  readonly slot: number;
  readonly function: number;

  /** @throws RangeError a part that is no integer in its range */
  constructor(parts: PciAddressParts) {
    this.domain = inRange('domain', parts.domain ?? 0, 0xffff_ffff);
    this.bus = inRange('bus', parts.bus, 0xff);
    this.slot = inRange('slot', parts.slot, 0x1f);
    this.function = inRange('function', parts.function, 7);
    Object.freeze(this);
  }

  /**
   * Reads `DDDD:BB:SS.F` or, in domain 0, `BB:SS.F`: hexadecimal, in either case.
   * @throws TypeError anything that is not a string of that form
   * @throws RangeError a slot above 1f or a function above 7
   */
  static parse(text: string): PciAddress {
    const parts = typeof text === 'string' ? FORM.exec(text) : null;
    if (parts === null) {
      throw new TypeError(`a PCI address looks like 0000:00:04.0 or 00:04.0, not ${describe(text)}`);
    }
    const [domain, bus, slot, fn] = parts.slice(1).map((part) => Number.parseInt(part ?? '0', 16));
    return new PciAddress({ domain: domain ?? 0, bus: bus ?? 0, slot: slot ?? 0, function: fn ?? 0 });
  }

  /**
   * What a caller names a function with, as a PciAddress.
   * @throws TypeError neither a PciAddress nor a string of its form
   * @throws RangeError a slot above 1f or a function above 7
   */
  static from(address: PciAddress | string): PciAddress {
    return address instanceof PciAddress ? address : PciAddress.parse(address);
  }

  /** Orders as lspci does, by domain, bus, slot and function: < 0, 0 or > 0, for `Array.prototype.sort`. */
  static compare(this: void, a: PciAddress, b: PciAddress): number {
    return a.domain - b.domain || a.bus - b.bus || a.slot - b.slot || a.function - b.function;
  }

  /** The full form, `0000:00:04.0`. */
  toString(): string {
    return `${hex(this.domain, 4)}:${hex(this.bus, 2)}:${hex(this.slot, 2)}.${this.function}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

function inRange(part: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`the ${part} of a PCI address is an integer from 0 to ${max}, not ${describe(value)}`);
  }
  return value;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

function describe(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
