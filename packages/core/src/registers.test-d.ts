import { expectTypeOf, test } from 'vitest';
import type { MmioRegion } from './mmio.ts';
import { bit, bits } from './register-fields.ts';
import { r32, registers, rw32, rw64, w32 } from './registers.ts';

const map = registers({
  status: r32(0x20, { access: 'ro', fields: { computing: bit(0), mode: bits(2, 1, { idle: 0, running: 1 }) } }),
  cause: r32(0x24, { access: 'rc' }),
  control: rw32(0x28, { fields: { length: bits(15, 0) } }),
  acknowledge: w32(0x64, { access: 'w1c' }),
  doorbell: w32(0x68),
  version: r32(0x00),
  address: rw64(0x80, { split: 'lo-hi' }),
});
declare const region: MmioRegion;
const device = map.bind(region);

test('ro and rc registers have no write', () => {
  expectTypeOf(device.status).not.toHaveProperty('write');
  expectTypeOf(device.status).not.toHaveProperty('modify');
  expectTypeOf(device.cause).not.toHaveProperty('write');
  expectTypeOf(device.cause.read).returns.toBeNumber();
});

test('wo registers have no read, w1c registers no modify', () => {
  expectTypeOf(device.doorbell).not.toHaveProperty('read');
  expectTypeOf(device.doorbell).not.toHaveProperty('modify');
  expectTypeOf(device.acknowledge).toHaveProperty('read');
  expectTypeOf(device.acknowledge).not.toHaveProperty('modify');
});

test('64-bit registers are bigints, the others numbers', () => {
  expectTypeOf(device.address.read).returns.toBeBigInt();
  expectTypeOf(device.address.write).parameter(0).toEqualTypeOf<bigint>();
  expectTypeOf(device.doorbell.write).parameter(0).toEqualTypeOf<number>();
});

test('fields have the types of their kinds', () => {
  expectTypeOf(device.status.readFields).returns.toEqualTypeOf<{
    readonly computing: boolean;
    readonly mode: 'idle' | 'running' | number;
  }>();
  expectTypeOf(device.control.write).parameter(0).toEqualTypeOf<number | { readonly length?: number }>();
  expectTypeOf(device.control.modify).parameter(0).toEqualTypeOf<{ readonly length?: number }>();
});

test('the definition keeps what was written in it', () => {
  expectTypeOf(map.definition.status.access).toEqualTypeOf<'ro'>();
  expectTypeOf(map.definition.version.access).toEqualTypeOf<'ro'>();
  expectTypeOf(map.definition.status.width).toEqualTypeOf<32>();
});

test('a split is for 64 bits, and a readable register cannot be write-only', () => {
  expectTypeOf<Parameters<typeof rw32>[1]>().not.toExtend<{ split: string } | undefined>();
  type AccessOf<O> = NonNullable<O> extends { readonly access?: infer A } ? A : never;
  expectTypeOf<'wo'>().not.toExtend<AccessOf<Parameters<typeof r32>[1]>>();
});
