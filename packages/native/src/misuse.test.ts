import { O_NONBLOCK } from '@usrdrv/core';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { ANONYMOUS, RW, test } from './addon.fixture.ts';
import { type Addon, addon } from './addon.ts';

type Call = (...values: unknown[]) => unknown;

/** What would change the test's own process, done to order: it is called with arguments that cannot succeed. */
const DANGEROUS = new Set([
  'lockMemory',
  'unlockMemory',
  'schedSetscheduler',
  'watchdog',
  'readCount',
  'sleepBy',
  'sleep',
]);

/** Files that can be opened, read and written to without harm. */
const PATHS = ['/dev/null', '/dev/zero', '/proc/self/stat', '/', '', '/nowhere/file', '/dev/null\0', 'x'.repeat(5000)];

/** Numbers on the edges of everything, and some in between. */
const numbers = fc.oneof(
  fc.integer({ min: -3, max: 64 }),
  fc.constantFrom(0x22, 0x32, 4096, 8192, 65535, 65536, 2 ** 20, 2 ** 20 + 1, 2 ** 21 + 1),
  fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 47, 2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 31)),
  fc.double(),
  fc.integer(),
);

/** The thread's memory, foreign memory, the kernel's, and none at all. */
const addresses = (own: bigint) =>
  fc.oneof(
    fc.bigInt({ min: own - 4096n, max: own + 5n * 4096n }),
    fc.constantFrom(own, own + 4096n, 0n, 1n, 4096n, 65536n, 0x40_0000n, 0x7fff_ffff_e000n, 0x7fff_ffff_f000n),
    fc.constantFrom(
      -1n,
      1n << 47n,
      1n << 63n,
      (1n << 64n) - 4096n,
      (1n << 64n) - 1n,
      1n << 64n,
      0xffff_8000_0000_0000n,
    ),
  );

const buffers = fc.constantFrom(
  () => new Uint8Array(0),
  () => new Uint8Array(64),
  () => new Int32Array(3),
  () => new Int32Array([-1, 1, 0, 5, 1, 0]),
  () => new Float64Array(16),
  () => new Float64Array(1),
  () => new Uint8Array(new SharedArrayBuffer(64)),
  () => detached(),
  () => new ArrayBuffer(8),
  () => new DataView(new ArrayBuffer(8)),
);

const things = fc.constantFrom<unknown>(undefined, null, true, false, '', '4', {}, [], Symbol('s'), () => undefined);

function detached(): Int32Array {
  const array = new Int32Array(3);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

describe('misuse', () => {
  test('no call crashes or throws, whatever values of JavaScript it is given', async () => {
    const native = addon();
    const own = native.mmap(0n, 4 * 4096, RW, ANONYMOUS, -1, 0n);
    if (typeof own === 'number') throw new Error(`mmap returned ${own}`);
    const opened: number[] = [];
    const asleep: bigint[] = [];
    const names = (Object.keys(native) as (keyof Addon)[]).filter((name) => !DANGEROUS.has(name));
    expect(names.length).toBeGreaterThan(25);

    const argument = fc.oneof(
      { arbitrary: numbers, weight: 4 },
      { arbitrary: addresses(own), weight: 4 },
      { arbitrary: fc.constantFrom(...PATHS), weight: 1 },
      { arbitrary: buffers.map((make) => make()), weight: 2 },
      { arbitrary: things, weight: 2 },
      // A descriptor, a handle or a call that an earlier step got.
      { arbitrary: fc.nat(40).map((n) => ({ recent: n })), weight: 3 },
    );
    const step = fc.record({ name: fc.constantFrom(...names), values: fc.array(argument, { maxLength: 7 }) });

    const results: unknown[] = [own];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        for (const { name, values } of steps) {
          const call = native[name] as Call;
          const given = values.map((value) =>
            isRecent(value) ? results[Math.max(0, results.length - 1 - value.recent)] : value,
          );
          if (name === 'mmap') clampLength(given);
          // Not the system calls: on this kernel their numbers belong to somebody else.
          if (name.startsWith('usrPci') && given[0] === -1) given[0] = opened[0];
          // With a function in the last place, as a call that sleeps wants it.
          const result = call(...given, () => undefined);
          const kind = typeof result;
          expect(['number', 'bigint', 'boolean', 'object']).toContain(kind);
          if (kind === 'number' && (result as number) >= 0) {
            results.push(result);
            if (['open', 'dup', 'eventfd', 'epollCreate1'].includes(name)) opened.push(result as number);
          }
          if (kind === 'bigint') {
            results.push(result);
            if (['read', 'write', 'waitForCount', 'poll', 'epollWait'].includes(name)) asleep.push(result as bigint);
          }
        }
        for (const call of asleep.splice(0)) native.interrupt(call);
        for (const fd of opened.splice(0)) native.close(fd);
        await new Promise((resolve) => setImmediate(resolve));
      }),
      { numRuns: 300 },
    );
    expect(native.munmap(own, 4 * 4096)).toBe(0);
  }, 50_000);

  test('calls that change the process refuse what is no argument for them', () => {
    const native = addon();
    const own = native.eventfd(0, O_NONBLOCK);
    for (const wrong of [undefined, null, 0.5, Number.NaN, 2 ** 40, '1', {}, 1n, Symbol('s')] as number[]) {
      expect(native.schedSetscheduler(wrong, wrong)).toBe(-22);
      expect(native.schedGetPriorityMax(wrong)).toBe(-22);
      expect(native.watchdog(wrong as never)).toBe(-22);
      expect(native.readCount(wrong, 4)).toBe(-9);
      expect(native.readCount(own, wrong as 4)).toBe(-22);
      expect(native.sleepBy(wrong as never)).toBe(-22);
    }
    expect(native.schedGetPriorityMax(1)).toBe(99);
    expect(native.unlockMemory()).toBe(0);
    expect(native.sleep()).toBe(undefined);
    expect(native.schedSetscheduler(77, 1)).toBe(-22);
    expect(native.close(own)).toBe(0);
  });
});

function isRecent(value: unknown): value is { recent: number } {
  return typeof value === 'object' && value !== null && 'recent' in value;
}

/** Terabytes of address space would be had, and only cost time. */
function clampLength(values: unknown[]): void {
  if (typeof values[1] === 'number' && values[1] > 2 ** 20) values[1] = 2 ** 20;
}
