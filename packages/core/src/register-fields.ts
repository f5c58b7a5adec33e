/** Bits of a register, as data. Made by {@link bit} and {@link bits}. */
export interface Field {
  /** Number of the lowest bit. */
  readonly lsb: number;
  /** Bits, 1 to 32. */
  readonly width: number;
}

/** One bit, a boolean. */
export interface BitField extends Field {
  readonly kind: 'bit';
}

/** A number. */
export interface NumberField extends Field {
  readonly kind: 'number';
}

/** A number whose values have names. */
export interface EnumField<E extends Names = Names> extends Field {
  readonly kind: 'enum';
  readonly values: E;
}

/** The names of a field's values. */
export type Names = Readonly<Record<string, number>>;

/** The fields of a register, by name. */
export type Fields = Readonly<Record<string, BitField | NumberField | EnumField>>;

/** What is read from a field: a value without a name comes as the number that it is. */
export type FieldValue<F> = F extends BitField ? boolean : F extends EnumField<infer E> ? keyof E | number : number;

/** The values of all fields of a register. */
export type FieldValues<F extends Fields> = { readonly [Name in keyof F]: FieldValue<F[Name]> };

/** Bit n. */
export function bit(n: number): BitField {
  return { kind: 'bit', lsb: n, width: 1 };
}

/**
 * Bits `msb` down to `lsb`, both included, as datasheets write them: `bits(7, 4)` is [7:4].
 * @param values names for values: `bits(1, 0, { idle: 0, running: 1 })`
 */
export function bits(msb: number, lsb: number): NumberField;
export function bits<const E extends Names>(msb: number, lsb: number, values: E): EnumField<E>;
export function bits(msb: number, lsb: number, values?: Names): NumberField | EnumField {
  const field = { lsb, width: msb - lsb + 1 };
  return values === undefined ? { kind: 'number', ...field } : { kind: 'enum', values, ...field };
}

/** The values of a register's fields in what was read from it. */
export function decodeFields<F extends Fields>(
  register: { readonly fields: F },
  value: number | bigint,
): FieldValues<F>;
export function decodeFields(register: { readonly fields: Fields }, value: number | bigint): FieldValues<Fields> {
  const decoded: Record<string, boolean | number | string> = {};
  for (const [name, field] of Object.entries(register.fields)) {
    const number = extract(field, value);
    decoded[name] = field.kind === 'bit' ? number === 1 : field.kind === 'enum' ? nameOf(field, number) : number;
  }
  return decoded;
}

/**
 * A register's value with these fields in it.
 * @param base what the bits of the other fields are
 * @throws RangeError a field or a value name that the register does not have, a value that does not fit its field
 */
export function encodeFields<V extends number | bigint>(
  register: { readonly fields: Fields },
  values: Readonly<Record<string, unknown>>,
  base: V,
): V;
export function encodeFields(
  register: { readonly fields: Fields },
  values: Readonly<Record<string, unknown>>,
  base: number | bigint,
): number | bigint {
  let encoded = base;
  for (const [name, value] of Object.entries(values)) {
    const field = Object.hasOwn(register.fields, name) ? register.fields[name] : undefined;
    if (field === undefined) throw new RangeError(`no field is called '${name}'`);
    const change = numberOf(name, field, value) - extract(field, encoded);
    if (typeof encoded === 'bigint') encoded += BigInt(change) << BigInt(field.lsb);
    else encoded += change * 2 ** field.lsb;
  }
  return encoded;
}

/** @throws RangeError a field that is not inside `width` bits, overlaps another, or has an impossible or ambiguous name */
export function checkFields(fields: Fields, width: number): void {
  const taken = new Map<number, string>();
  for (const [name, field] of Object.entries(fields)) {
    const { lsb, width: count } = field;
    if (!Number.isInteger(lsb) || !Number.isInteger(count) || lsb < 0 || count < 1 || lsb + count > width) {
      throw new RangeError(`field '${name}', bits ${lsb + count - 1} to ${lsb}, is not inside ${width} bits`);
    }
    if (count > 32)
      throw new RangeError(`field '${name}' has ${count} bits: 32 at most, or none for the whole register`);
    for (let n = lsb; n < lsb + count; n++) {
      const other = taken.get(n);
      if (other !== undefined) throw new RangeError(`fields '${other}' and '${name}' share bit ${n}`);
      taken.set(n, name);
    }
    if (field.kind === 'enum') checkNames(name, field);
  }
}

function checkNames(name: string, field: EnumField): void {
  const numbers = Object.values(field.values);
  for (const number of numbers) checkFits(name, field, number);
  if (new Set(numbers).size < numbers.length) throw new RangeError(`two names of field '${name}' have the same value`);
}

function numberOf(name: string, field: Fields[string], value: unknown): number {
  if (field.kind === 'bit' && typeof value === 'boolean') return value ? 1 : 0;
  if (field.kind === 'enum' && typeof value === 'string') {
    const number = Object.hasOwn(field.values, value) ? field.values[value] : undefined;
    if (number === undefined) throw new RangeError(`field '${name}' has no value called '${value}'`);
    return number;
  }
  return checkFits(name, field, field.kind === 'bit' ? undefined : value);
}

function checkFits(name: string, field: Field, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= 2 ** field.width) {
    throw new RangeError(`${String(value)} does not fit field '${name}', ${field.width} bits wide`);
  }
  return value;
}

function nameOf(field: EnumField, number: number): string | number {
  for (const [name, value] of Object.entries(field.values)) if (value === number) return name;
  return number;
}

function extract(field: Field, value: number | bigint): number {
  if (typeof value === 'bigint') return Number(BigInt.asUintN(field.width, value >> BigInt(field.lsb)));
  // Arithmetic, because the bit operators are signed at 32 bits.
  return Math.floor(value / 2 ** field.lsb) % 2 ** field.width;
}
