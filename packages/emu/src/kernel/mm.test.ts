import {
  EFAULT,
  EINVAL,
  ENOMEM,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../machine/clock.ts';
import { type Frame, PhysicalMemory } from '../machine/memory.ts';
import { TraceLog } from '../trace/log.ts';
import { MmStruct } from './mm.ts';
import type { Steps } from './step.ts';

const RW = PROT_READ | PROT_WRITE;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS;
const SHARED = MAP_SHARED | MAP_ANONYMOUS;
const NOWHERE = virtualAddress(0);
const SIZE = 64 * 1024 * 1024;

function machine(): { memory: PhysicalMemory; mm: MmStruct; trace: TraceLog } {
  const trace = new TraceLog(new VirtualClock());
  const memory = new PhysicalMemory(SIZE, trace);
  const registers = new Map<number, number | bigint>();
  const bus = {
    mmioRead: (physical: number) => registers.get(physical) ?? 0,
    mmioWrite: (physical: number, _width: number, value: number | bigint) => void registers.set(physical, value),
  };
  return { memory, mm: new MmStruct(memory, bus), trace };
}

function mapped(mm: MmStruct, pages: number, prot = RW, flags = PRIVATE): VirtualAddress {
  const address = mm.mmap(NOWHERE, pages * PAGE_SIZE, prot, flags);
  if (typeof address === 'number') throw new Error(`mmap: ${address}`);
  return address;
}

function plus(address: VirtualAddress, bytes: number): VirtualAddress {
  return virtualAddress(address + BigInt(bytes));
}

function run<T>(steps: Steps<T>): T {
  for (;;) {
    const next = steps.next();
    if (next.done === true) return next.value;
  }
}

function pin(mm: MmStruct, address: VirtualAddress, pages: number, write = true): Frame[] {
  return run(mm.pinUserPages(address, pages, { write, longterm: write }));
}

describe('mmap', () => {
  test('bytes gives the same storage at each call, and kernel code writes into it', () => {
    const { mm } = machine();
    const at = mapped(mm, 2);
    const bytes = mm.bytes(at, 2 * PAGE_SIZE);
    expect(mm.putInt32(plus(at, PAGE_SIZE - 2), 0x01020304)).toBe(true);
    expect([...bytes.subarray(PAGE_SIZE - 2, PAGE_SIZE + 2)]).toEqual([4, 3, 2, 1]);
    bytes[0] = 9;
    expect(mm.copyFromUser(at, 1)).toEqual(new Uint8Array([9]));
    expect(mm.bytes(at, 1).buffer).toBe(bytes.buffer);
  });

  test('pages that are neighbours in a process are not neighbours in physical memory', () => {
    const { mm } = machine();
    const pfns = pin(mm, mapped(mm, 16), 16).map((frame) => frame.pfn);
    expect(new Set(pfns).size).toBe(16);
    expect(pfns.slice(1).some((pfn, at) => Math.abs(pfn - (pfns[at] ?? 0)) === 1)).toBe(false);
  });

  test('bad lengths, flags and addresses are refused before anything has changed', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    for (const length of [0, -1, Number.NaN]) expect(mm.mmap(NOWHERE, length, RW, PRIVATE)).toBe(-EINVAL);
    for (const flags of [0, MAP_ANONYMOUS, MAP_SHARED | MAP_PRIVATE]) {
      expect(mm.mmap(NOWHERE, 1, RW, flags)).toBe(-EINVAL);
    }
    for (const length of [2 ** 40, 2 ** 60, Number.POSITIVE_INFINITY]) {
      expect(mm.mmap(NOWHERE, length, RW, PRIVATE)).toBe(-ENOMEM);
    }
    expect(mm.mmap(virtualAddress(0x10_0001), 1, RW, PRIVATE | MAP_FIXED)).toBe(-EINVAL);
    expect(mm.mmap(virtualAddress(0), 1, RW, PRIVATE | MAP_FIXED)).toBe(-ENOMEM);
    expect(memory.freeFrames).toBe(free);
  });

  test('device memory may be larger than RAM', () => {
    const { mm } = machine();
    expect(typeof mm.mapDevice(NOWHERE, 2 * SIZE, RW, MAP_SHARED, 2 ** 40)).toBe('bigint');
  });

  test('MAP_FIXED that fails leaves what was there', () => {
    const { mm, memory } = machine();
    const at = mapped(mm, 1);
    const bytes = mm.bytes(at, 1);
    expect(mm.mmap(at, (memory.freeFrames + 1) * PAGE_SIZE, RW, PRIVATE | MAP_FIXED)).toBe(-ENOMEM);
    expect(bytes.length).toBe(1);
  });

  test('MAP_FIXED replaces what was there', () => {
    const { mm } = machine();
    const at = mapped(mm, 3);
    mm.bytes(at, 3 * PAGE_SIZE).fill(1);
    expect(mm.mmap(plus(at, PAGE_SIZE), PAGE_SIZE, RW, PRIVATE | MAP_FIXED)).toBe(plus(at, PAGE_SIZE));
    expect(mm.copyFromUser(at, 3 * PAGE_SIZE)).toEqual(
      new Uint8Array(3 * PAGE_SIZE).fill(1).fill(0, PAGE_SIZE, 2 * PAGE_SIZE),
    );
  });

  test('EFAULT: unmapped, read-only and inaccessible memory, and the end of user space', () => {
    const { mm } = machine();
    const [readOnly, none, at] = [mapped(mm, 1, PROT_READ), mapped(mm, 1, PROT_NONE), mapped(mm, 1)];
    expect(mm.putInt32(readOnly, 1)).toBe(false);
    expect(mm.copyFromUser(readOnly, 4)).toEqual(new Uint8Array(4));
    expect(mm.copyFromUser(none, 4)).toBeUndefined();
    expect(mm.copyToUser(plus(at, PAGE_SIZE - 2), new Uint8Array(4))).toBe(false);
    expect(mm.copyFromUser(at, PAGE_SIZE)).toEqual(new Uint8Array(PAGE_SIZE));
    expect(mm.putInt32(virtualAddress(0x7fff_ffff_f000n), 1)).toBe(false);
    expect(mm.putInt32(virtualAddress(2n ** 64n - 1n), 1)).toBe(false);
    expect(mm.accessOk(virtualAddress(0x7fff_ffff_effcn), 4)).toBe(true);
    expect(mm.accessOk(virtualAddress(0x7fff_ffff_effdn), 4)).toBe(false);
    expect(() => mm.bytes(none, 1)).toThrow(/EFAULT/);
    expect(() => mm.bytes(at, Number.NaN)).toThrow(RangeError);
  });
});

test('a copy runs across mappings that are neighbours', () => {
  const { mm } = machine();
  const upper = mapped(mm, 1);
  const lower = mapped(mm, 1);
  expect(upper).toBe(plus(lower, PAGE_SIZE));
  expect(mm.copyToUser(plus(upper, -2), new Uint8Array([1, 2, 3, 4]))).toBe(true);
  expect(mm.copyFromUser(plus(upper, -2), 4)).toEqual(new Uint8Array([1, 2, 3, 4]));
  expect(mm.bytes(upper, 2)).toEqual(new Uint8Array([3, 4]));
});

describe('munmap', () => {
  test('detaches the views and frees the frames', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    const at = mapped(mm, 4);
    const bytes = mm.bytes(at, 2 * PAGE_SIZE);
    expect(memory.freeFrames).toBe(free - 4);
    expect(mm.munmap(at, 4 * PAGE_SIZE)).toBe(0);
    expect(bytes.length).toBe(0);
    expect(memory.freeFrames).toBe(free);
    expect(mm.munmap(at, 4 * PAGE_SIZE)).toBe(0);
  });

  test('a hole leaves the rest mapped; the views are detached with the last part', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    const at = mapped(mm, 3);
    const bytes = mm.bytes(at, 3 * PAGE_SIZE);
    expect(mm.munmap(plus(at, PAGE_SIZE), 1)).toBe(0);
    expect(() => mm.bytes(at, PAGE_SIZE + 1)).toThrow(/EFAULT/);
    mm.bytes(plus(at, 2 * PAGE_SIZE), 1)[0] = 7;
    expect(bytes[2 * PAGE_SIZE]).toBe(7);
    expect(mm.munmap(at, 3 * PAGE_SIZE)).toBe(0);
    expect(bytes.length).toBe(0);
    expect(memory.freeFrames).toBe(free);
  });

  test('a page that is pinned outlives its mapping', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    const at = mapped(mm, 1);
    mm.bytes(at, 1)[0] = 5;
    const [frame] = pin(mm, at, 1);
    mm.munmap(at, PAGE_SIZE);
    expect(frame?.bytes[0]).toBe(5);
    expect(memory.freeFrames).toBe(free - 1);
    if (frame !== undefined) memory.unpin(frame);
    expect(memory.freeFrames).toBe(free);
  });

  test('EINVAL: misaligned, empty, outside user space', () => {
    const { mm } = machine();
    const at = mapped(mm, 1);
    expect(mm.munmap(plus(at, 1), 1)).toBe(-EINVAL);
    for (const length of [0, -1, Number.NaN, 2 ** 50]) expect(mm.munmap(at, length)).toBe(-EINVAL);
  });
});

describe('mremap', () => {
  test('grows in place where there is room, elsewhere if it may, and keeps contents and pins', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    const upper = mapped(mm, 2);
    const at = mapped(mm, 1);
    const bytes = mm.bytes(at, PAGE_SIZE);
    bytes[3] = 3;
    const [frame] = pin(mm, at, 1);
    expect(mm.mremap(at, PAGE_SIZE, 2 * PAGE_SIZE, 0)).toBe(-ENOMEM);
    const moved = mm.mremap(at, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE);
    if (typeof moved === 'number') throw new Error(`mremap: ${moved}`);
    expect(moved).not.toBe(at);
    expect(bytes.length).toBe(0);
    mm.bytes(moved, 2 * PAGE_SIZE)[4] = 4;
    expect([...(frame?.bytes.subarray(3, 5) ?? [])]).toEqual([3, 4]);
    mm.munmap(upper, PAGE_SIZE);
    expect(mm.mremap(moved, 2 * PAGE_SIZE, PAGE_SIZE, 0)).toBe(moved);
    expect(mm.mremap(moved, PAGE_SIZE, 2 * PAGE_SIZE, 0)).toBe(moved);
    expect(mm.copyFromUser(moved, 5)).toEqual(new Uint8Array([0, 0, 0, 3, 4]));
    if (frame !== undefined) memory.unpin(frame);
    mm.exit();
    expect(memory.freeFrames).toBe(free);
  });

  test('EINVAL and EFAULT', () => {
    const { mm } = machine();
    const at = mapped(mm, 1);
    expect(mm.mremap(plus(at, 1), 1, 1, 0)).toBe(-EINVAL);
    expect(mm.mremap(at, 0, 1, 0)).toBe(-EINVAL);
    expect(mm.mremap(at, 1, 0, 0)).toBe(-EINVAL);
    expect(mm.mremap(at, 1, 1, 8)).toBe(-EINVAL);
    expect(mm.mremap(at, 2 * PAGE_SIZE, 3 * PAGE_SIZE, 0)).toBe(-EFAULT);
    expect(mm.mremap(NOWHERE, 1, 1, 0)).toBe(-EFAULT);
  });
});

describe('fork', () => {
  test('private memory is copied, shared memory shared', () => {
    const { mm, memory } = machine();
    const free = memory.freeFrames;
    const [own, common] = [mapped(mm, 2), mapped(mm, 2, RW, SHARED)];
    mm.putInt32(own, 1);
    const child = mm.fork('usrdrv-6.1');
    if (child === undefined) throw new Error('fork');
    mm.putInt32(own, 2);
    mm.putInt32(common, 2);
    expect(child.copyFromUser(own, 1)).toEqual(new Uint8Array([1]));
    expect(child.copyFromUser(common, 1)).toEqual(new Uint8Array([2]));
    mm.exit();
    child.putInt32(common, 3);
    expect(child.bytes(common, 1)[0]).toBe(3);
    child.exit();
    expect(memory.freeFrames).toBe(free);
  });

  test('UD8 fork breaks a pin in 2.6.11: the device keeps the old page, the parent gets a new one', () => {
    for (const [profile, seen] of [
      ['chubb-2.6.11', 1],
      ['usrdrv-6.1', 2],
    ] as const) {
      const { mm, memory } = machine();
      const free = memory.freeFrames;
      const at = mapped(mm, 1);
      mm.putInt32(at, 1);
      const [frame] = pin(mm, at, 1);
      const child = mm.fork(profile);
      mm.putInt32(at, 2);
      expect(frame?.bytes[0], profile).toBe(seen);
      expect(child?.copyFromUser(at, 1), profile).toEqual(new Uint8Array([1]));
      if (frame !== undefined) memory.unpin(frame);
      mm.exit();
      child?.exit();
      expect(memory.freeFrames).toBe(free);
    }
  });

  test('fails where memory has run out, and leaves nothing behind', () => {
    const { mm, memory } = machine();
    mapped(mm, 1);
    mapped(mm, memory.freeFrames - 10);
    expect(mm.fork('usrdrv-6.1')).toBeUndefined();
    expect(memory.freeFrames).toBe(10);
  });
});

describe('pinning', () => {
  test('UD8 an untouched page is the zero page, unless the device writes or keeps it for long', () => {
    const { mm, memory } = machine();
    const at = mapped(mm, 3);
    expect(run(mm.pinUserPages(at, 1, { write: false, longterm: false }))).toEqual([memory.zeroFrame]);
    expect(pin(mm, plus(at, PAGE_SIZE), 1)[0]).not.toBe(memory.zeroFrame);
    const [kept] = run(mm.pinUserPages(plus(at, 2 * PAGE_SIZE), 1, { write: false, longterm: true }));
    mm.putInt32(plus(at, 2 * PAGE_SIZE), 6);
    expect(kept?.bytes[0]).toBe(6);
  });

  test('stops at the first page that cannot be had', () => {
    const { mm } = machine();
    const at = mapped(mm, 3);
    mm.munmap(plus(at, 2 * PAGE_SIZE), PAGE_SIZE);
    expect(pin(mm, plus(at, 100), 3)).toHaveLength(2);
    const readOnly = mapped(mm, 1, PROT_READ);
    expect(pin(mm, readOnly, 1)).toHaveLength(0);
    expect(pin(mm, readOnly, 1, false)).toHaveLength(1);
    expect(pin(mm, NOWHERE, 1)).toHaveLength(0);
  });
});

describe('device memory', () => {
  test('is reached through mmio, as long as it is mapped', () => {
    const { mm } = machine();
    const at = mm.mapDevice(NOWHERE, 2 * PAGE_SIZE, RW, MAP_SHARED, 0xfeb0_0000);
    if (typeof at === 'number') throw new Error(`mapDevice: ${at}`);
    const upper = mm.mmio(plus(at, PAGE_SIZE), PAGE_SIZE);
    upper.write32(8, 0xdead_beef);
    expect(mm.mmio(at, 2 * PAGE_SIZE).read32(PAGE_SIZE + 8)).toBe(0xdead_beef);
    expect(() => upper.read32(PAGE_SIZE)).toThrow(RangeError);
    expect(() => upper.read32(2)).toThrow(RangeError);
    expect(() => upper.write8(0, 256)).toThrow(RangeError);
    expect(mm.copyFromUser(at, 4)).toBeUndefined();
    expect(() => mm.bytes(at, 4)).toThrow(/EFAULT/);
    expect(() => mm.mmio(at, 3 * PAGE_SIZE)).toThrow(/EFAULT/);
    expect(mm.mremap(at, 2 * PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE)).toBe(-EFAULT);
    mm.munmap(at, PAGE_SIZE);
    expect(upper.read32(8)).toBe(0xdead_beef);
    mm.munmap(plus(at, PAGE_SIZE), PAGE_SIZE);
    expect(() => upper.read32(8)).toThrow(/EBADF/);
  });
});
