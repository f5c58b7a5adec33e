import { EINVAL, ENOMEM, MAP_FIXED, PAGE_SIZE } from '@usrdrv/core';
import type { Vma } from './vma.ts';

/** First address that is not user space on x86-64. */
export const TASK_SIZE = 0x7fff_ffff_f000;
/** Mappings are placed downwards from here, below the stack. */
const MMAP_BASE = 0x7fff_f7ff_f000;
/** vm.mmap_min_addr: the pages around the null pointer are never mapped. */
const MMAP_MIN_ADDR = 0x1_0000;

/** The mappings of an address space, by address. They never overlap. */
export class VmaTree {
  readonly #vmas: Vma[] = [];
  /** Where the last address was found: the next is likely there too. */
  #last: Vma | undefined = undefined;

  [Symbol.iterator](): Iterator<Vma> {
    return this.#vmas[Symbol.iterator]();
  }

  /** The mapping that holds an address. */
  find(at: number): Vma | undefined {
    const last = this.#last;
    if (last !== undefined && at >= last.start && at < last.end) return last;
    const vma = this.#vmas[this.#startingUpTo(at) - 1];
    if (vma === undefined || at >= vma.end) return undefined;
    this.#last = vma;
    return vma;
  }

  insert(vma: Vma): void {
    this.#vmas.splice(this.#startingUpTo(vma.start), 0, vma);
  }

  isFree(from: number, to: number): boolean {
    const below = this.#vmas[this.#startingUpTo(to - 1) - 1];
    return to <= TASK_SIZE && (below === undefined || below.end <= from);
  }

  /** get_unmapped_area(): where a new mapping of `size` bytes goes, or -errno. With MAP_FIXED, exactly at `hint`. */
  unmappedArea(hint: number, size: number, flags: number): number {
    if (size > TASK_SIZE) return -ENOMEM;
    if ((flags & MAP_FIXED) !== 0) {
      if (hint % PAGE_SIZE !== 0) return -EINVAL;
      return hint >= MMAP_MIN_ADDR && hint + size <= TASK_SIZE ? hint : -ENOMEM;
    }
    const near = pageAlign(hint);
    if (near >= MMAP_MIN_ADDR && this.isFree(near, near + size)) return near;
    let top = MMAP_BASE;
    for (let at = this.#vmas.length - 1; at >= 0; at--) {
      const vma = this.#vmas[at];
      if (vma === undefined || vma.end <= top - size) break;
      top = Math.min(top, vma.start);
    }
    return top - size >= MMAP_MIN_ADDR ? top - size : -ENOMEM;
  }

  /** Takes a range out, cutting in two what lies across its ends. What was in it. */
  cut(from: number, to: number): Vma[] {
    this.#last = undefined;
    let at = this.#startingUpTo(from);
    const below = this.#vmas[at - 1];
    if (below !== undefined && below.end > from) {
      if (below.start === from) at--;
      else this.#vmas.splice(at, 0, below.split(from));
    }
    let end = at;
    for (let vma = this.#vmas[end]; vma !== undefined && vma.start < to; vma = this.#vmas[++end]) {
      if (vma.end > to) this.#vmas.splice(end + 1, 0, vma.split(to));
    }
    return this.#vmas.splice(at, end - at);
  }

  /** How many mappings start at or below an address; none for NaN. */
  #startingUpTo(at: number): number {
    let low = 0;
    let high = this.#vmas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const vma = this.#vmas[middle];
      if (vma !== undefined && vma.start <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Rounds up to whole pages. */
export function pageAlign(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}
