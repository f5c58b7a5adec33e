import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOSYS,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_SHARED,
  MREMAP_MAYMOVE,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  PROT_NONE,
  PROT_READ,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { ANONYMOUS, at, hostKernel, mapPages, NULL, RW, test } from './addon.fixture.ts';

/** Where nothing is: below what mmap(2) chooses, above where a program is, and not AddressSanitizer's either. */
const FAR_AWAY = virtualAddress(0x3000_0000_0000n);
const O_CREAT = 0o100;

describe('memory of the process', () => {
  test('what was mapped is zeroed bytes, the same at each look', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel, 2);
    const bytes = kernel.process.bytes(address, 2 * PAGE_SIZE);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    bytes[PAGE_SIZE] = 7;
    expect(kernel.process.bytes(at(address, PAGE_SIZE), 1)[0]).toBe(7);
    expect(kernel.process.bytes(at(address, 5), 9).buffer).toBe(bytes.buffer);
    expect(kernel.process.thread.munmap(address, 2 * PAGE_SIZE)).toBe(0);
  });

  test('munmap detaches the bytes, and the range is EFAULT from then on', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel);
    const bytes = kernel.process.bytes(address, PAGE_SIZE);
    kernel.process.thread.munmap(address, PAGE_SIZE);
    expect(bytes.length).toBe(0);
    expect(() => kernel.process.bytes(address, 1)).toThrow(/EFAULT/);
    expect(() => kernel.process.mmio(address, 4)).toThrow(/EFAULT/);
  });

  test('munmap of a part leaves the rest, with its contents, to a new view', () => {
    const kernel = hostKernel();
    const address = mapPages(kernel, 3);
    const whole = kernel.process.bytes(address, 3 * PAGE_SIZE).fill(3);
    kernel.process.thread.munmap(at(address, PAGE_SIZE), PAGE_SIZE);
    expect(whole.length).toBe(0);
    expect(kernel.process.bytes(address, PAGE_SIZE)[0]).toBe(3);
    expect(kernel.process.bytes(at(address, 2 * PAGE_SIZE), PAGE_SIZE)[0]).toBe(3);
    expect(() => kernel.process.bytes(address, PAGE_SIZE + 1)).toThrow(/EFAULT/);
    expect(() => kernel.process.bytes(at(address, PAGE_SIZE), 1)).toThrow(/EFAULT/);
    kernel.process.thread.munmap(address, 3 * PAGE_SIZE);
  });

  test('one address can be mapped, seen and unmapped again and again', () => {
    const { process } = hostKernel();
    for (let round = 0; round < 1000; round++) {
      expect(process.thread.mmap(FAR_AWAY, PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(FAR_AWAY);
      const bytes = process.bytes(FAR_AWAY, PAGE_SIZE);
      expect(bytes[0]).toBe(0);
      bytes[0] = 1;
      process.thread.munmap(FAR_AWAY, PAGE_SIZE);
    }
  });

  test('MAP_FIXED takes the place of what was mapped here, and detaches it', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const address = mapPages(kernel, 3);
    const before = kernel.process.bytes(address, 3 * PAGE_SIZE).fill(9);
    expect(thread.mmap(at(address, PAGE_SIZE), PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(
      at(address, PAGE_SIZE),
    );
    expect(before.length).toBe(0);
    expect(kernel.process.bytes(address, PAGE_SIZE)[0]).toBe(9);
    expect(kernel.process.bytes(at(address, PAGE_SIZE), PAGE_SIZE)[0]).toBe(0);
    expect(kernel.process.bytes(at(address, 2 * PAGE_SIZE), PAGE_SIZE)[0]).toBe(9);
    thread.munmap(address, 3 * PAGE_SIZE);
  });

  test('MAP_FIXED that fails leaves what was there', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const address = mapPages(kernel);
    const bytes = kernel.process.bytes(address, PAGE_SIZE).fill(5);
    const fd = thread.open('/proc/self/status', O_RDONLY);
    expect(thread.mmap(address, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0n)).toBeLessThan(0);
    expect(thread.mmap(address, PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 1n)).toBe(-EINVAL);
    expect(thread.mmap(at(address, 1), PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(-EINVAL);
    expect(bytes[0]).toBe(5);
    thread.close(fd);
    thread.munmap(address, PAGE_SIZE);
  });

  test('MAP_FIXED over the program, its heap or a stack is EEXIST', () => {
    const { thread } = hostKernel().process;
    const regions = foreignRegions();
    expect(regions.length).toBeGreaterThan(10);
    for (const address of regions) {
      expect(thread.mmap(address, 3 * PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(-EEXIST);
    }
  });

  test('munmap passes over what was not mapped here', () => {
    const { thread } = hostKernel().process;
    for (const address of foreignRegions()) expect(thread.munmap(address, 16 * PAGE_SIZE)).toBe(0);
    expect(thread.munmap(NULL, 0x7fff_ffff_0000)).toBe(0);
  });

  test('a mapping of a file is no memory for bytes, but can be reached as registers', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const path = join(tmpdir(), `usrdrv-native-${process.pid}`);
    const fd = thread.open(path, O_RDWR | O_CREAT);
    const outside = openSync(path, 'r+');
    ftruncateSync(outside, PAGE_SIZE);
    const address = thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, fd, 0n);
    if (typeof address === 'number') throw new Error(`mmap returned ${address}`);
    expect(() => kernel.process.bytes(address, 1)).toThrow(/EFAULT/);
    using region = kernel.process.mmio(address, PAGE_SIZE);
    region.write32(0, 0x1234_5678);
    expect(region.read32(0)).toBe(0x1234_5678);
    // Now there is nothing behind the mapping: SIGBUS for any other program.
    ftruncateSync(outside, 0);
    expect(() => region.read32(0)).toThrow(/ENODEV/);
    expect(() => region.read64(0)).toThrow(/ENODEV/);
    expect(() => region.write8(3, 1)).toThrow(/ENODEV/);
    closeSync(outside);
    thread.close(fd);
    thread.munmap(address, PAGE_SIZE);
  });

  test('memory that cannot be read and written is EFAULT for bytes, and for the access that it does not allow', () => {
    const kernel = hostKernel();
    const none = mapPages(kernel, 1, PROT_NONE);
    const readOnly = mapPages(kernel, 1, PROT_READ);
    expect(() => kernel.process.bytes(none, 1)).toThrow(/EFAULT/);
    expect(() => kernel.process.bytes(readOnly, 1)).toThrow(/EFAULT/);
    expect(() => kernel.process.mmio(none, 4).read32(0)).toThrow(/EFAULT/);
    expect(() => kernel.process.mmio(readOnly, 4).write32(0, 1)).toThrow(/EFAULT/);
    expect(kernel.process.mmio(readOnly, 4).read32(0)).toBe(0);
  });

  test('mmap and munmap refuse what is no length, protection, flag, file or address', () => {
    const { thread } = hostKernel().process;
    expect(thread.mmap(NULL, 0, RW, ANONYMOUS, -1, 0n)).toBe(-EINVAL);
    expect(thread.mmap(NULL, -1, RW, ANONYMOUS, -1, 0n)).toBe(-ENOMEM);
    expect(thread.mmap(NULL, 2 ** 52, RW, ANONYMOUS, -1, 0n)).toBe(-ENOMEM);
    expect(thread.mmap(NULL, PAGE_SIZE, RW, MAP_ANONYMOUS, -1, 0n)).toBe(-EINVAL);
    expect(thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, 0, 0n)).toBe(-EBADF);
    expect(thread.munmap(at(NULL, 1), PAGE_SIZE)).toBe(-EINVAL);
    expect(thread.munmap(NULL, 0)).toBe(-EINVAL);
    expect(thread.munmap(virtualAddress(1n << 63n), PAGE_SIZE)).toBe(-EINVAL);
    const contract: UserThread = thread;
    expect(contract.mremap(NULL, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE)).toBe(-ENOSYS);
  });

  test('a pointer out of what was mapped here is EFAULT, wherever it leads', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open('/dev/zero', O_RDONLY);
    const nowhere = [NULL, at(NULL, 8), FAR_AWAY, virtualAddress(0x7fff_ffff_f000n), virtualAddress(1n << 63n)];
    for (const address of [...foreignRegions(), ...nowhere]) expect(thread.read(fd, address, 64)).toBe(-EFAULT);
    thread.close(fd);
  });

  test('a read that runs out of mapped memory stops there, and leaves what follows alone', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open('/dev/zero', O_RDONLY);
    expect(thread.mmap(FAR_AWAY, PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(FAR_AWAY);
    const bytes = kernel.process.bytes(FAR_AWAY, PAGE_SIZE).fill(1);
    expect(thread.read(fd, at(FAR_AWAY, PAGE_SIZE - 16), 2 ** 40)).toBe(16);
    expect([...bytes.subarray(-18)]).toEqual([1, 1, ...new Array(16).fill(0)]);
    thread.munmap(FAR_AWAY, PAGE_SIZE);
    thread.close(fd);
  });

  test('whatever is mapped, unmapped and looked at in whatever order, views show what the kernel has there', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const base = at(FAR_AWAY, 1 << 20);
    const pages = 8;
    const range = { page: fc.nat(pages - 1), count: fc.integer({ min: 1, max: pages }) };
    const step = fc.oneof(
      fc.record({ what: fc.constant('map' as const), ...range }),
      fc.record({ what: fc.constant('unmap' as const), ...range }),
      fc.record({ what: fc.constant('look' as const), ...range }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const expected: (number | undefined)[] = new Array(pages).fill(undefined);
        const mappings: object[] = new Array(pages).fill({});
        let mark = 0;
        for (const { what, page, count: wanted } of steps) {
          const count = Math.min(wanted, pages - page);
          const where = at(base, page * PAGE_SIZE);
          if (what === 'map') {
            expect(thread.mmap(where, count * PAGE_SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0n)).toBe(where);
            mark = (mark % 200) + 1;
            kernel.process.bytes(where, count * PAGE_SIZE).fill(mark);
            expected.fill(mark, page, page + count);
            mappings.fill({}, page, page + count);
          } else if (what === 'unmap') {
            expect(thread.munmap(where, count * PAGE_SIZE)).toBe(0);
            expected.fill(undefined, page, page + count);
            // A hole parts the mapping that it is in.
            const after = mappings[page + count];
            if (after !== undefined && after === mappings[page - 1]) {
              const rest = {};
              for (let each = page + count; mappings[each] === after; each++) mappings[each] = rest;
            }
          } else {
            const bytes = tryBytes(kernel.process, where, count * PAGE_SIZE);
            const same = new Set(mappings.slice(page, page + count)).size === 1;
            const whole = expected.slice(page, page + count).every((byte) => byte !== undefined);
            expect(bytes !== undefined).toBe(same && whole);
            if (bytes === undefined) continue;
            for (let each = 0; each < count; each++) {
              expect(bytes[each * PAGE_SIZE]).toBe(expected[page + each]);
            }
          }
        }
        thread.munmap(base, pages * PAGE_SIZE);
      }),
      { numRuns: 200 },
    );
  });
});

function tryBytes(
  process: { bytes(a: VirtualAddress, n: number): Uint8Array },
  address: VirtualAddress,
  length: number,
) {
  try {
    return process.bytes(address, length);
  } catch {
    return undefined;
  }
}

/** Where the program, its libraries, heap and stack are: addresses that belong to somebody else. */
function foreignRegions(): VirtualAddress[] {
  const text = new TextDecoder().decode(hostKernel().files.readFileSync('/proc/self/maps'));
  const named = text.split('\n').filter((line) => /(\.so[.\d]*|node|\[heap\]|\[stack\])$/.test(line));
  return named.map((line) => virtualAddress(BigInt(`0x${line.split('-')[0]}`)));
}
