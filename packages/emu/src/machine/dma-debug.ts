import { DMA_BIDIRECTIONAL, DMA_FROM_DEVICE, DMA_TO_DEVICE, PAGE_SIZE } from '@usrdrv/core';
import type { DmaMapping } from './dma-api.ts';
import type { BusMaster, IoPage } from './iommu.ts';
import type { Frame } from './memory.ts';

/** What M6 calls misuse. */
export type DmaMisuse =
  | 'double unmap'
  | 'unknown unmap'
  | 'wrong size'
  | 'wrong direction'
  | 'cpu access'
  | 'device write'
  | 'device read'
  | 'outside every mapping'
  | 'overlap'
  | 'leak';

/** One misuse of DMA: what was done, to which mapping, and from where. */
export class DmaReport {
  constructor(
    readonly what: DmaMisuse,
    /** The device's address: `0000:00:04.0`. */
    readonly device: string,
    /** In words, with the addresses. */
    readonly detail: string,
    /** The mapping that it was done to; for an access outside every mapping, the one that used to be there. */
    readonly mapping: DmaMapping | undefined,
    private readonly seenAt: Error | undefined,
  ) {}

  /** Who made the mapping. Undefined where there is none, or debugging was off then. */
  get stackOfMap(): string | undefined {
    return this.mapping?.mappedAt?.stack;
  }

  /**
   * Who misused it; for `cpu access`, who was there when it came to light. Undefined where debugging was off.
   */
  get stackOfMisuse(): string | undefined {
    return this.seenAt?.stack;
  }

  toString(): string {
    return `DMA-API: ${this.device}: ${this.what}: ${this.detail}`;
  }
}

/** Reports that are kept; later ones are counted only. */
const MOST_REPORTS = 1000;
/** Mappings that are remembered after they were unmapped. */
const MOST_UNMAPPED = 64;
/** The unit in which caches and devices fight over memory that both write. */
const CACHE_LINE = 64;
/** Frames of a stack, of which the kernel's code takes about ten. Each costs time at every map. */
const STACK_DEPTH = 18;

/**
 * The kernel's DMA debugging (M6).
 *
 * While it is on, a device reaches exactly the bytes that are mapped, not the whole pages of them, and the CPU's writes to
 * memory that is a device's (M2) come to light: a copy made when the device takes the memory over is compared with it
 * whenever the device touches it, and when it is handed back. That finds every write that leaves the bytes different from
 * before, and that the device has not read or overwritten earlier. It cannot find reads, writes of what stood there
 * already, nor writes that are undone before the next comparison; and the stack is the comparison's, not the write's.
 */
export class DmaDebug {
  /** Switched before the first mapping is made. */
  on = true;
  readonly reports: DmaReport[] = [];
  /** All misuse ever seen, reported or only counted. */
  errors = 0;
  /** Which parts of a frame are a device's. */
  readonly #owned = new Map<Frame, IoPage[]>();
  readonly #unmapped: DmaMapping[] = [];
  /** Copies that are not in use. */
  readonly #spare: Uint8Array[] = [];

  report(what: DmaMisuse, device: string, detail: string, mapping: DmaMapping | undefined): void {
    this.errors++;
    if (this.reports.length >= MOST_REPORTS) return;
    this.reports.push(new DmaReport(what, device, detail, mapping, this.stack(what)));
  }

  /** Where we are, for a report that may be made later; formatted only if somebody reads it. */
  stack(message: string): Error | undefined {
    if (!this.on) return undefined;
    const host = Error as { stackTraceLimit?: number };
    const limit = host.stackTraceLimit;
    host.stackTraceLimit = STACK_DEPTH;
    const here = new Error(message);
    if (limit !== undefined) host.stackTraceLimit = limit;
    return here;
  }

  /** A streaming mapping hands its memory to the device. */
  take(mapping: DmaMapping): void {
    if (!this.on) return;
    for (const page of mapping.pages) {
      const owned = this.#owned.get(page.memory);
      if (owned === undefined) {
        this.#owned.set(page.memory, [page]);
      } else {
        this.#checkOverlap(page, owned);
        owned.push(page);
      }
      const snapshot = this.#spare.pop() ?? new Uint8Array(PAGE_SIZE);
      snapshot.set(page.memory.bytes.subarray(page.start, page.end), page.start);
      page.snapshot = snapshot;
    }
  }

  /** A streaming mapping hands its memory back. */
  handBack(mapping: DmaMapping): void {
    if (!this.on) return;
    for (const page of mapping.pages) {
      this.checkCpu(page, page.start, page.end, 'by the time it was handed back');
      if (page.snapshot !== undefined) this.#spare.push(page.snapshot);
      page.snapshot = undefined;
      const owned = this.#owned.get(page.memory);
      if (owned === undefined) continue;
      if (owned.length === 1) this.#owned.delete(page.memory);
      else owned.splice(owned.indexOf(page), 1);
    }
  }

  /** Remembers a mapping that is gone, to recognize who still uses it. */
  forget(mapping: DmaMapping): void {
    if (!this.on) return;
    if (this.#unmapped.length === MOST_UNMAPPED) this.#unmapped.shift();
    this.#unmapped.push(mapping);
  }

  /** The mapping of that device that used to be at a bus address, the last one first. */
  gone(device: BusMaster, address: number): DmaMapping | undefined {
    return this.#unmapped.findLast((mapping) => mapping.device.master === device && mapping.covers(address));
  }

  /** Whether the CPU changed a part of a page, from `from` to `to` in it, while it is the device's. */
  checkCpu(page: IoPage, from: number, to: number, when: string): void {
    const { snapshot, memory } = page;
    if (snapshot === undefined || memory.bytes.length === 0) return;
    const at = firstDifference(memory.bytes, snapshot, from, to);
    if (at < 0) return;
    const where = `byte ${at} of frame ${memory.pfn}, mapped ${directionName(page.mapping.direction)}`;
    this.report('cpu access', page.mapping.device.name, `the CPU wrote ${where}, ${when}`, page.mapping);
    snapshot.set(memory.bytes.subarray(from, to), from);
  }

  /** The device wrote to a page itself, so that is no misuse. */
  deviceWrote(page: IoPage, from: number, to: number): void {
    for (const other of this.#owned.get(page.frame) ?? []) {
      const [start, end] = [Math.max(from, other.start), Math.min(to, other.end)];
      if (start < end) other.snapshot?.set(page.frame.bytes.subarray(start, end), start);
    }
  }

  /** Two mappings of the same bytes, or, where the device writes both, of the same cache line. */
  #checkOverlap(page: IoPage, owned: readonly IoPage[]): void {
    for (const other of owned) {
      if (!page.writable && !other.writable) continue;
      const unit = page.writable && other.writable ? CACHE_LINE : 1;
      if (Math.floor(page.start / unit) > Math.floor((other.end - 1) / unit)) continue;
      if (Math.floor(other.start / unit) > Math.floor((page.end - 1) / unit)) continue;
      const mappings = `${page.mapping} and ${other.mapping}`;
      this.report('overlap', page.mapping.device.name, `${mappings} share frame ${page.memory.pfn}`, other.mapping);
      return;
    }
  }
}

/** DMA_TO_DEVICE and so on, as the kernel's messages have it. */
export function directionName(direction: number): string {
  if (direction === DMA_BIDIRECTIONAL) return 'DMA_BIDIRECTIONAL';
  if (direction === DMA_TO_DEVICE) return 'DMA_TO_DEVICE';
  return direction === DMA_FROM_DEVICE ? 'DMA_FROM_DEVICE' : `direction ${direction}`;
}

/** Where between `from` and `to` a page differs from a copy of it; -1 where it does not. */
function firstDifference(bytes: Uint8Array, copy: Uint8Array, from: number, to: number): number {
  let at = from;
  // Four bytes at a time where both are aligned.
  if ((bytes.byteOffset + from) % 4 === 0 && from % 4 === 0) {
    const length = (to - from) >> 2;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + from, length);
    const copied = new Int32Array(copy.buffer, from, length);
    let word = 0;
    while (word < length && words[word] === copied[word]) word++;
    at += 4 * word;
  }
  while (at < to && bytes[at] === copy[at]) at++;
  return at < to ? at : -1;
}
