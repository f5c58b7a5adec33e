import type { MmioRegion } from './mmio.ts';
import { bindRegisters, type Registers } from './register-access.ts';
import { checkFields, type Fields } from './register-fields.ts';

/**
 * What an access does: `ro` reads only; `wo` writes only; `rw` reads and writes; `w1c` reads, and a written 1 clears its
 * bit; `rc` reads only, and the read clears it.
 */
export type Access = 'ro' | 'wo' | 'rw' | 'w1c' | 'rc';

/** Bits. */
export type Width = 8 | 16 | 32 | 64;

/** How the 64 bits are reached: in one access, or in two of 32 bits in this order. */
export type Split = 'none' | 'lo-hi' | 'hi-lo';

/** One register, as data: drivers bind it, an emulated device can be built on it. */
export interface Register<W extends Width = Width, A extends Access = Access, F extends Fields = Fields> {
  /** Bytes from the start of the region. */
  readonly offset: number;
  readonly width: W;
  readonly access: A;
  readonly split: Split;
  readonly fields: F;
}

export type RegisterDefinition = Readonly<Record<string, Register>>;

/** A register map: data, which `bind` turns into accessors. */
export interface RegisterMap<D extends RegisterDefinition> {
  readonly definition: D;
  /** Bytes from offset 0 to the end of the last register. */
  readonly length: number;
  /**
   * The registers in this region.
   * @throws RangeError a region that is shorter than the map
   */
  bind(region: MmioRegion): Registers<D>;
}

/**
 * Describes a device's registers, checked: each aligned to its width and with a region of its own, except that one that is
 * only read and one that is only written (`wo`) may share an offset.
 *
 * @example
 * ```ts
 * import { bit, r32, registers, rw32, w32 } from '@usrdrv/core';
 * const map = registers({
 *   status: r32(0x20, { access: 'ro', fields: { computing: bit(0), interruptOnDone: bit(7) } }),
 *   control: rw32(0x28),
 *   acknowledge: w32(0x64, { access: 'w1c' }),
 * });
 * console.assert(map.length === 0x68 && map.definition.status.fields.computing.lsb === 0);
 * ```
 * @throws RangeError an offset that is no integer >= 0 or is misaligned, registers that overlap, a split of less than 64
 *   bits, a field outside its register or over another
 */
export function registers<const D extends RegisterDefinition>(definition: D): RegisterMap<D> {
  const all = Object.entries(definition);
  for (const [name, register] of all) {
    checkPlace(name, register);
    checkFields(register.fields, register.width);
  }
  checkOverlaps(all);
  const length = Math.max(0, ...all.map(([, register]) => end(register)));
  return { definition, length, bind: (region) => bindRegisters(definition, length, region) };
}

/** What can be said of a register besides its offset. */
export type RegisterOptions<W extends Width, A extends Access, F extends Fields> = {
  readonly access?: A;
  readonly fields?: F;
} & (W extends 64 ? { /** 'none' where left out: one access of 64 bits. */ readonly split?: Split } : unknown);

type NoFields = Readonly<Record<never, never>>;
// NoInfer: what is wanted of the result, any Register, must not decide what it is.
type Make<W extends Width, Kinds extends Access, Default extends Kinds> = <
  const A extends Kinds = Default,
  const F extends Fields = NoFields,
>(
  offset: number,
  o?: RegisterOptions<W, A, F>,
) => Register<W, NoInfer<A>, NoInfer<F>>;

function maker<W extends Width, Kinds extends Access, Default extends Kinds>(
  width: W,
  access: Default,
): Make<W, Kinds, Default>;
function maker(width: Width, access: Access) {
  return (offset: number, o: { access?: Access; fields?: Fields; split?: Split } = {}): Register => ({
    offset,
    width,
    access: o.access ?? access,
    split: o.split ?? 'none',
    fields: o.fields ?? {},
  });
}

type Readable = 'ro' | 'rc' | 'rw' | 'w1c';
type WritableKind = 'wo' | 'rw' | 'w1c';

/** A register of 8 bits that is read: `ro` unless said otherwise. */
export const r8 = maker<8, Readable, 'ro'>(8, 'ro');
/** A register of 16 bits that is read: `ro` unless said otherwise. */
export const r16 = maker<16, Readable, 'ro'>(16, 'ro');
/** A register of 32 bits that is read: `ro` unless said otherwise. */
export const r32 = maker<32, Readable, 'ro'>(32, 'ro');
/** A register of 64 bits that is read: `ro` unless said otherwise, in one access unless `split`. */
export const r64 = maker<64, Readable, 'ro'>(64, 'ro');
/** A register of 8 bits that is written: `wo` unless said otherwise. */
export const w8 = maker<8, WritableKind, 'wo'>(8, 'wo');
/** A register of 16 bits that is written: `wo` unless said otherwise. */
export const w16 = maker<16, WritableKind, 'wo'>(16, 'wo');
/** A register of 32 bits that is written: `wo` unless said otherwise. */
export const w32 = maker<32, WritableKind, 'wo'>(32, 'wo');
/** A register of 64 bits that is written: `wo` unless said otherwise, in one access unless `split`. */
export const w64 = maker<64, WritableKind, 'wo'>(64, 'wo');
/** A register of 8 bits that reads back what was written. */
export const rw8 = maker<8, 'rw', 'rw'>(8, 'rw');
/** A register of 16 bits that reads back what was written. */
export const rw16 = maker<16, 'rw', 'rw'>(16, 'rw');
/** A register of 32 bits that reads back what was written. */
export const rw32 = maker<32, 'rw', 'rw'>(32, 'rw');
/** A register of 64 bits that reads back what was written, in one access unless `split`. */
export const rw64 = maker<64, 'rw', 'rw'>(64, 'rw');

function checkPlace(name: string, { offset, width, split }: Register): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`register '${name}': an offset is an integer >= 0, not ${String(offset)}`);
  }
  if (split !== 'none' && width !== 64) throw new RangeError(`register '${name}': ${width} bits are not split`);
  const alignment = split === 'none' ? width / 8 : 4;
  if (offset % alignment !== 0) {
    throw new RangeError(`register '${name}': offset 0x${offset.toString(16)} is not a multiple of ${alignment}`);
  }
}

function checkOverlaps(all: readonly [string, Register][]): void {
  const isRead = ({ access }: Register) => access !== 'wo';
  const isWritten = ({ access }: Register) => access !== 'ro' && access !== 'rc';
  all.forEach(([name, a], index) => {
    for (const [other, b] of all.slice(0, index)) {
      const together = (isRead(a) && isRead(b)) || (isWritten(a) && isWritten(b));
      if (together && a.offset < end(b) && b.offset < end(a)) {
        throw new RangeError(`registers '${other}' and '${name}' overlap at offset 0x${a.offset.toString(16)}`);
      }
    }
  });
}

function end(register: Register): number {
  return register.offset + register.width / 8;
}
