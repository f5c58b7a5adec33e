import { PAGE_SIZE } from '@usrdrv/core';
import type { IovaRange } from './uapi.ts';

/** Pages, as numbers: 52 bits, which a number holds exactly. `end` is the first that is not in it any more. */
interface PageRange {
  start: number;
  end: number;
}

const PAGE = BigInt(PAGE_SIZE);

/**
 * Gives out bus addresses by the page, the highest that fit first: so the low ones stay for devices that reach no others.
 *
 * The page at 0 is never given out: 0 is what a device takes for no address at all.
 */
export class IovaAllocator {
  /** Ascending, with something between each two. */
  readonly #free: PageRange[];

  /** @param ranges what the IOMMU translates, in any order; parts of pages at their ends are left out */
  constructor(ranges: readonly IovaRange[]) {
    this.#free = merge(
      ranges.map(({ start, end }) => ({
        start: Math.max(1, Number((start + PAGE - 1n) / PAGE)),
        end: Number((end + 1n) / PAGE),
      })),
    );
  }

  /**
   * @param pages how many, an integer >= 1
   * @param highest the highest address that the device reaches
   * @returns the first address; undefined where so many in one piece are not left
   */
  allocate(pages: number, highest: bigint): bigint | undefined {
    const limit = Number((highest + 1n) / PAGE);
    for (let at = this.#free.length - 1; at >= 0; at--) {
      const range = this.#free[at];
      if (range === undefined) break;
      const end = Math.min(range.end, limit);
      const start = end - pages;
      if (start < range.start) continue;
      const rest: PageRange[] = [];
      if (range.start < start) rest.push({ start: range.start, end: start });
      if (end < range.end) rest.push({ start: end, end: range.end });
      this.#free.splice(at, 1, ...rest);
      return BigInt(start) * PAGE;
    }
    return undefined;
  }

  /**
   * Takes back what `allocate` gave, with the same number of pages.
   * @throws RangeError where a part of it is free already
   */
  free(iova: bigint, pages: number): void {
    const start = Number(iova / PAGE);
    const end = start + pages;
    const at = this.#firstEndingAtOrAfter(start);
    const next = this.#free[at];
    if (next !== undefined && next.start < end && start < next.end) {
      throw new RangeError(`0x${iova.toString(16)} is not in use`);
    }
    const after = next?.end === start ? this.#free[at + 1] : next;
    if (after !== undefined && after.start < end) throw new RangeError(`0x${iova.toString(16)} is not in use`);
    const joined = {
      start: next?.end === start ? next.start : start,
      end: after?.start === end ? after.end : end,
    };
    const replaced = (next?.end === start ? 1 : 0) + (after?.start === end ? 1 : 0);
    this.#free.splice(at, replaced, joined);
  }

  /** Whether a device that reaches no address above `highest` can be given any. */
  reaches(highest: bigint): boolean {
    const [lowest] = this.#free;
    return lowest !== undefined && lowest.start < Number((highest + 1n) / PAGE);
  }

  /** What is free, for tests and errors; `end` is the last address. */
  get freeRanges(): IovaRange[] {
    return this.#free.map(({ start, end }) => ({ start: BigInt(start) * PAGE, end: BigInt(end) * PAGE - 1n }));
  }

  #firstEndingAtOrAfter(page: number): number {
    let [low, high] = [0, this.#free.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#free[middle]?.end ?? 0) < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function merge(ranges: readonly PageRange[]): PageRange[] {
  const merged: PageRange[] = [];
  for (const range of ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else merged.push(range);
  }
  return merged;
}
