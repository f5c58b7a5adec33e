import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VirtualClock } from '../machine/clock.ts';
import { type Frame, PhysicalMemory } from '../machine/memory.ts';
import { TraceLog } from '../trace/log.ts';
import { MmStruct } from './mm.ts';
import { finish } from './usr-pci.fixture.ts';

const BASE = 0x10_0000;
const PAGES = 12;
const RW = PROT_READ | PROT_WRITE;
const FIXED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

const page = fc.nat(PAGES - 1);
const count = fc.integer({ min: 1, max: 4 });
const operation = fc.oneof(
  fc.record({ kind: fc.constant('mmap' as const), page, count }),
  fc.record({ kind: fc.constant('munmap' as const), page, count }),
  fc.record({ kind: fc.constant('mremap' as const), page, count, to: count }),
  fc.record({ kind: fc.constant('write' as const), page, count, value: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('pin' as const), page, count }),
  fc.record({ kind: fc.constant('fork' as const), page }),
);

/** What a page holds: the value that was last written to all of it. */
type Model = (number | undefined)[];

test('mmap, munmap, mremap, fork and pins in any order: every page holds what was written, and nothing is left over', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 30 }),
      fc.constantFrom('chubb-2.6.11', 'usrdrv-6.1'),
      (program, profile) => {
        const memory = new PhysicalMemory(2 ** 24, new TraceLog(new VirtualClock()));
        const mm = new MmStruct(memory, { mmioRead: () => 0, mmioWrite: () => undefined });
        const children: MmStruct[] = [];
        const pins: Frame[] = [];
        const model: Model = Array.from({ length: PAGES + 8 }, () => undefined);
        for (const each of program) {
          const at = addressOf(each.page);
          if (each.kind === 'mmap') {
            expect(mm.mmap(at, each.count * PAGE_SIZE, RW, FIXED)).toBe(at);
            model.fill(0, each.page, each.page + each.count);
          } else if (each.kind === 'munmap') {
            expect(mm.munmap(at, each.count * PAGE_SIZE)).toBe(0);
            model.fill(undefined, each.page, each.page + each.count);
          } else if (each.kind === 'mremap') {
            remap(mm, model, each);
          } else if (each.kind === 'write') {
            const mapped = model.slice(each.page, each.page + each.count).every((value) => value !== undefined);
            expect(mm.copyToUser(at, new Uint8Array(each.count * PAGE_SIZE).fill(each.value))).toBe(mapped);
            if (mapped) model.fill(each.value, each.page, each.page + each.count);
          } else if (each.kind === 'pin') {
            pins.push(...finish(mm.pinUserPages(at, each.count, { write: true, longterm: true })));
          } else {
            const child = mm.fork(profile);
            if (child === undefined) throw new Error('fork');
            check(child, model);
            children.push(child);
          }
          check(mm, model);
        }
        for (const each of [mm, ...children]) each.exit();
        for (const frame of pins) memory.unpin(frame);
        expect(memory.freeFrames).toBe(2 ** 12);
      },
    ),
    { numRuns: 300 },
  );
});

function remap(
  mm: MmStruct,
  model: Model,
  o: { readonly page: number; readonly count: number; readonly to: number },
): void {
  const result = mm.mremap(addressOf(o.page), o.count * PAGE_SIZE, o.to * PAGE_SIZE, 0);
  if (typeof result === 'number') return;
  expect(result).toBe(addressOf(o.page));
  if (o.to < o.count) model.fill(undefined, o.page + o.to, o.page + o.count);
  else model.fill(0, o.page + o.count, o.page + o.to);
}

/** Each page by itself: through the kernel, and as the process sees it. */
function check(mm: MmStruct, model: Model): void {
  for (const [at, value] of model.entries()) {
    const bytes = mm.copyFromUser(addressOf(at), PAGE_SIZE);
    expect([bytes?.[0], bytes?.[PAGE_SIZE - 1]]).toEqual([value, value]);
    if (value !== undefined && value !== 0) expect(mm.bytes(addressOf(at), PAGE_SIZE)[7]).toBe(value);
  }
}

function addressOf(at: number): VirtualAddress {
  return virtualAddress(BASE + at * PAGE_SIZE);
}

test('a mapping that moves takes its contents along', () => {
  const memory = new PhysicalMemory(2 ** 24, new TraceLog(new VirtualClock()));
  const mm = new MmStruct(memory, { mmioRead: () => 0, mmioWrite: () => undefined });
  mm.mmap(addressOf(0), 4 * PAGE_SIZE, RW, FIXED);
  for (let at = 0; at < 4; at++) mm.putInt32(addressOf(at), at + 1);
  // The middle of it, so that what stays is in two parts.
  const moved = mm.mremap(addressOf(1), 2 * PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE);
  if (typeof moved === 'number') throw new Error(`mremap: ${moved}`);
  const first = (address: VirtualAddress): number | undefined => mm.copyFromUser(address, 1)?.[0];
  expect([0, 1, 2, 3].map((at) => first(addressOf(at)))).toEqual([1, undefined, undefined, 4]);
  expect([0, 1, 2].map((at) => first(virtualAddress(moved + BigInt(at * PAGE_SIZE))))).toEqual([2, 3, 0]);
  mm.exit();
  expect(memory.freeFrames).toBe(2 ** 12);
});
