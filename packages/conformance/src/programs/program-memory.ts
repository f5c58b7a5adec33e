import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { showResult } from '../violation.ts';
import { ARENA_PAGES, ARENAS, type CallOf, type Pointer } from './program.ts';

/** Out of the way of what a kernel places itself: a page to work with, one that is never mapped, one that is read-only. */
const SCRATCH = 0x20_0000_0000n;
const UNMAPPED = SCRATCH + BigInt(PAGE_SIZE);
const READ_ONLY = SCRATCH + BigInt(2 * PAGE_SIZE);
const ARENA_BASE = 0x30_0000_0000n;
const ARENA_STRIDE = 0x10_0000n;

/** What a program's good pointers point to, as offsets in the page to work with; behind the list is the end of the page. */
export const PLACES = { count: 0x000, info: 0x100, vaddr: 0x200, dmaaddr: 0x208, list: 0x400 } as const;

/** The memory that a program's pointers and arenas stand for, in the process that runs it and in its child. */
export class ProgramMemory {
  readonly #thread: UserThread;
  readonly #view: DataView;

  constructor(thread: UserThread) {
    this.#thread = thread;
    this.#map(SCRATCH, PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#map(READ_ONLY, PAGE_SIZE, PROT_READ);
    this.#map(arenaAt(0, 0), ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#view = viewOf(thread);
  }

  /** The page to work with, as that thread's process sees it. */
  view(thread: UserThread): DataView {
    return thread === this.#thread ? this.#view : viewOf(thread);
  }

  /** @param place what it points to where it is good */
  pointer(pointer: Pointer, place: number): VirtualAddress {
    switch (pointer) {
      case 'ok':
        return virtualAddress(SCRATCH + BigInt(place));
      case 'null':
        return virtualAddress(0);
      case 'unmapped':
        return virtualAddress(UNMAPPED);
      case 'kernel':
        return virtualAddress(0xffff_8000_0000_0000n);
      case 'straddle':
        return virtualAddress(UNMAPPED - 2n);
      case 'readonly':
        return virtualAddress(READ_ONLY);
    }
  }

  mmap({ arena, length, prot }: CallOf<'mmap'>): string {
    const address = arenaAt(arena, 0);
    const result = this.#map(address, length, prot);
    return result === address ? '0' : showResult(result);
  }

  munmap({ arena, offset, length }: CallOf<'munmap'>): string {
    return showResult(this.#thread.munmap(arenaAt(arena, offset), length));
  }

  #map(address: bigint, length: number, prot: number): bigint | number {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return this.#thread.mmap(virtualAddress(address), length, prot, flags, -1, 0n);
  }
}

/** Where an arena, or a place in it, is. */
export function arenaAt(arena: number, offset: number): VirtualAddress {
  return virtualAddress(ARENA_BASE + BigInt(arena % ARENAS) * ARENA_STRIDE + BigInt(offset));
}

function viewOf({ process }: UserThread): DataView {
  const bytes = process.bytes(virtualAddress(SCRATCH), PAGE_SIZE);
  return new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
}
