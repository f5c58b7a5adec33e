import { PAGE_SIZE } from '@usrdrv/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IovaAllocator } from './iova-allocator.ts';
import type { IovaRange } from './uapi.ts';

const PAGE = BigInt(PAGE_SIZE);
const TOP = (1n << 64n) - 1n;

/** Pages `start` to `end`, the last included, as a range of addresses. */
const pages = (start: number, end: number): IovaRange => ({
  start: BigInt(start) * PAGE,
  end: BigInt(end + 1) * PAGE - 1n,
});

describe('IovaAllocator', () => {
  test('gives the highest addresses that the device reaches', () => {
    const iovas = new IovaAllocator([pages(0, 100), pages(200, 300)]);
    expect(iovas.allocate(2, TOP)).toBe(299n * PAGE);
    expect(iovas.allocate(2, TOP)).toBe(297n * PAGE);
    expect(iovas.allocate(2, 250n * PAGE - 1n)).toBe(248n * PAGE);
    // Not all of page 250.
    expect(iovas.allocate(1, 251n * PAGE - 2n)).toBe(247n * PAGE);
    expect(iovas.allocate(101, TOP)).toBeUndefined();
    expect(iovas.allocate(100, TOP)).toBe(1n * PAGE);
  });

  test('never gives the page at 0, nor parts of pages at the ends of a range', () => {
    const iovas = new IovaAllocator([
      { start: 0n, end: 2n * PAGE - 1n },
      { start: 10n * PAGE + 1n, end: 12n * PAGE },
    ]);
    expect(iovas.freeRanges).toEqual([pages(1, 1), pages(11, 11)]);
  });

  test('takes 64 bits of addresses, and ranges that touch, overlap and come in any order', () => {
    const iovas = new IovaAllocator([{ start: 1n << 40n, end: TOP }, pages(5, 9), pages(1, 4), pages(8, 12)]);
    expect(iovas.freeRanges).toEqual([pages(1, 12), { start: 1n << 40n, end: TOP }]);
    expect(iovas.allocate(1, TOP)).toBe(TOP - PAGE + 1n);
    expect(iovas.reaches(PAGE)).toBe(false);
    expect(iovas.reaches(2n * PAGE - 1n)).toBe(true);
  });

  test('without ranges there is nothing to be had', () => {
    const iovas = new IovaAllocator([]);
    expect(iovas.allocate(1, TOP)).toBeUndefined();
    expect(iovas.reaches(TOP)).toBe(false);
  });

  test('what is free already cannot be freed', () => {
    const iovas = new IovaAllocator([pages(1, 10)]);
    const iova = iovas.allocate(4, TOP) ?? 0n;
    for (const [at, count] of [
      [iova - PAGE, 1],
      [iova - PAGE, 2],
      [iova - PAGE, 6],
    ] as const) {
      expect(() => iovas.free(at, count)).toThrow(RangeError);
    }
    iovas.free(iova, 4);
    expect(() => iovas.free(iova, 4)).toThrow(RangeError);
    expect(iovas.freeRanges).toEqual([pages(1, 10)]);
  });

  test('gives what is in the ranges, to nobody else, as long as there is room, and has all again in the end', () => {
    const range = fc.tuple(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 0, max: 30 }));
    const step = fc.oneof(
      fc.record({ pages: fc.integer({ min: 1, max: 12 }), limit: fc.integer({ min: 0, max: 160 }) }),
      fc.record({ free: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), fc.array(step, { maxLength: 60 }), (ranges, steps) => {
        const iovas = new IovaAllocator(ranges.map(([start, length]) => pages(start, start + length)));
        const before = iovas.freeRanges;
        /** The pages that are free. */
        const free = new Set<number>();
        for (const [start, length] of ranges) for (let page = start; page <= start + length; page++) free.add(page);
        free.delete(0);
        const given: { iova: bigint; first: number; count: number }[] = [];
        for (const step of steps) {
          if ('free' in step) {
            const [taken] = given.splice(step.free % Math.max(1, given.length), 1);
            if (taken === undefined) continue;
            iovas.free(taken.iova, taken.count);
            for (let page = taken.first; page < taken.first + taken.count; page++) free.add(page);
            continue;
          }
          const { pages: count, limit } = step;
          const iova = iovas.allocate(count, BigInt(limit) * PAGE - 1n);
          const highest = highestFit(free, count, limit);
          expect(iova).toBe(highest === undefined ? undefined : BigInt(highest) * PAGE);
          if (iova === undefined || highest === undefined) continue;
          given.push({ iova, first: highest, count });
          for (let page = highest; page < highest + count; page++) free.delete(page);
        }
        for (const { iova, count } of given) iovas.free(iova, count);
        expect(iovas.freeRanges).toEqual(before);
      }),
      { numRuns: 500 },
    );
  });
});

/** What the allocator has to find, looked for page by page. */
function highestFit(free: ReadonlySet<number>, count: number, limit: number): number | undefined {
  for (let first = limit - count; first >= 0; first--) {
    if (Array.from({ length: count }, (_, page) => free.has(first + page)).every(Boolean)) return first;
  }
  return undefined;
}
