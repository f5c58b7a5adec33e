import type { MmioRegion } from './mmio.ts';
import { decodeFields, encodeFields, type Fields, type FieldValues } from './register-fields.ts';
import type { Register, RegisterDefinition, Width } from './registers.ts';

/** The accessors of a register map, by the registers' names. */
export type Registers<D extends RegisterDefinition> = { readonly [Name in keyof D]: BoundRegister<D[Name]> };

/** The accessor of one register: what its access kind allows, and nothing else. */
export type BoundRegister<R extends Register> =
  R extends Register<infer W, infer A, infer F>
    ? {
        ro: ReadOnlyRegister<Value<W>, F>;
        rc: ReadOnlyRegister<Value<W>, F>;
        wo: WriteOnlyRegister<Value<W>, F>;
        w1c: WriteOneToClearRegister<Value<W>, F>;
        rw: ReadWriteRegister<Value<W>, F>;
      }[A]
    : never;

/** A register that is read (`ro`), or that a read clears (`rc`). Errors are those of {@link MmioRegion}. */
export interface ReadOnlyRegister<V extends number | bigint, F extends Fields> {
  /** One read of the register. */
  read(): V;
  /** One read of the register, taken apart. */
  readFields(): FieldValues<F>;
}

/** A register that is written. Errors are those of {@link MmioRegion}. */
export interface WriteOnlyRegister<V extends number | bigint, F extends Fields> {
  /**
   * One write of the register: the whole value, or its fields, the others 0.
   * @throws RangeError a value that does not fit; nothing has been written then
   */
  write(value: Writable<V, F>): void;
}

/** A register whose ones are cleared by writing ones. There is no `modify`: it would clear all that is set. */
export interface WriteOneToClearRegister<V extends number | bigint, F extends Fields>
  extends ReadOnlyRegister<V, F>,
    WriteOnlyRegister<V, F> {}

/** A register that reads back what was written. */
export interface ReadWriteRegister<V extends number | bigint, F extends Fields>
  extends ReadOnlyRegister<V, F>,
    WriteOnlyRegister<V, F> {
  /**
   * One read and one write: changes these fields and keeps the others.
   * @throws RangeError a value that does not fit; nothing has been written then
   */
  modify(values: Partial<FieldValues<F>>): void;
}

type Value<W extends Width> = W extends 64 ? bigint : number;
type Writable<V, F extends Fields> = [keyof F] extends [never] ? V : V | Partial<FieldValues<F>>;

/** {@link RegisterMap.bind} */
export function bindRegisters<D extends RegisterDefinition>(
  definition: D,
  length: number,
  region: MmioRegion,
): Registers<D>;
export function bindRegisters(definition: RegisterDefinition, length: number, region: MmioRegion): object {
  if (region.length < length) {
    throw new RangeError(`registers of ${length} bytes do not fit a region of ${region.length}`);
  }
  return Object.fromEntries(
    Object.entries(definition).map(([name, register]) => [name, bindRegister(register, region)]),
  );
}

function bindRegister(register: Register, region: MmioRegion): object {
  return register.width === 64
    ? accessors(register, 0n, read64(register, region), write64(register, region))
    : accessors(register, 0, read(register, region), write(register, region));
}

/** What the register's access kind allows; the rest is not there at run time either. */
function accessors<V extends number | bigint>(
  register: Register,
  zero: V,
  read: () => V,
  writeValue: (value: V) => void,
): object {
  const readFields = () => decodeFields(register, read());
  const write = (value: V | FieldValues<Fields>) => {
    writeValue(typeof value === 'object' ? encodeFields(register, value, zero) : value);
  };
  const modify = (values: FieldValues<Fields>) => writeValue(encodeFields(register, values, read()));
  switch (register.access) {
    case 'ro':
    case 'rc':
      return { read, readFields };
    case 'wo':
      return { write };
    case 'w1c':
      return { read, readFields, write };
    case 'rw':
      return { read, readFields, write, modify };
  }
}

function read({ offset, width }: Register, region: MmioRegion): () => number {
  if (width === 8) return () => region.read8(offset);
  if (width === 16) return () => region.read16(offset);
  return () => region.read32(offset);
}

function write({ offset, width }: Register, region: MmioRegion): (value: number) => void {
  if (width === 8) return (value) => region.write8(offset, value);
  if (width === 16) return (value) => region.write16(offset, value);
  return (value) => region.write32(offset, value);
}

function read64({ offset, split }: Register, region: MmioRegion): () => bigint {
  if (split === 'none') return () => region.read64(offset);
  const [first, second] = halves(offset, split);
  const join = (high: number, low: number) => (BigInt(high) << 32n) | BigInt(low);
  return () => {
    const one = region.read32(first);
    const other = region.read32(second);
    return split === 'lo-hi' ? join(other, one) : join(one, other);
  };
}

function write64({ offset, split }: Register, region: MmioRegion): (value: bigint) => void {
  if (split === 'none') return (value) => region.write64(offset, value);
  const [first, second] = halves(offset, split);
  return (value) => {
    // Before the first half: half a value must not reach the device.
    if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
      throw new RangeError(`${String(value)} does not fit 64 unsigned bits`);
    }
    const high = Number(value >> 32n);
    const low = Number(value & 0xffff_ffffn);
    region.write32(first, split === 'lo-hi' ? low : high);
    region.write32(second, split === 'lo-hi' ? high : low);
  };
}

/** The offsets of the two accesses, in their order. */
function halves(offset: number, split: 'lo-hi' | 'hi-lo'): [number, number] {
  return split === 'lo-hi' ? [offset, offset + 4] : [offset + 4, offset];
}
