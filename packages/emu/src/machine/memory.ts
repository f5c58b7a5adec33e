import { PAGE_SIZE } from '@usrdrv/core';
import { calm, type Oracle } from '../explore/oracle.ts';
import type { TraceLog } from '../trace/log.ts';

/** One page frame of RAM. The kernel's struct page, and the bytes that it describes. */
export class Frame {
  /** Who holds it: a page table, a pin, the kernel. It is free again at 0. */
  refs = 1;
  /** References that hold it where it is for a device (get_user_pages). */
  pins = 0;
  /** Somebody wrote to it since it was last clean (PG_dirty): reclaim has to save it first. */
  dirty = false;

  /**
   * @param pfn page frame number: the physical address in pages
   * @param bytes its 4096 bytes; a part of a mapping's one ArrayBuffer while a process has it mapped
   */
  constructor(
    readonly pfn: number,
    public bytes: Uint8Array,
  ) {}
}

/** What an allocation needs of its frame: a device with a narrow mask reaches the lower zones only (GFP_DMA, GFP_DMA32). */
export type ZoneName = 'DMA' | 'DMA32' | 'Normal';

/**
 * The RAM of the machine. Frames are handed out scattered on purpose: neighbours in a process are never neighbours in
 * physical memory, so a scatterlist has an entry for every page, as on a machine that has been up for a while.
 *
 * The storage of a frame is brought along by who asks for it, because one mapping of a process is one ArrayBuffer.
 */
export class PhysicalMemory {
  /** The page of zeros that every untouched page reads from (ZERO_PAGE). Never free. */
  readonly zeroFrame: Frame;
  readonly #frames = new Map<number, Frame>();
  readonly #zones: readonly Zone[];
  readonly #total: number;
  #reserved = 0;
  #pinned = 0;

  /** @param size bytes of RAM, from 16 MiB to 4 PiB */
  constructor(
    size: number,
    private readonly trace: TraceLog,
    private readonly oracle: Oracle = calm,
  ) {
    const frames = Math.floor(size / PAGE_SIZE);
    const [dma, dma32] = [0x1000 - 0x100, 0x1_0000 - 0x1000];
    // 52 bits are what x86 has for physical addresses.
    if (!(frames >= 0x1000 && frames <= 2 ** 40)) {
      throw new RangeError(`a machine has from 16 MiB to 4 PiB of memory, not ${size} bytes`);
    }
    // Below 16 MiB, below 256 MiB, and from 4 GiB on, where a PC has the RAM that its PCI hole displaced.
    this.#zones = [
      new Zone(0x10_0000, Math.max(0, frames - dma - dma32)),
      new Zone(0x1000, Math.min(frames - dma, dma32)),
      new Zone(0x100, dma),
    ];
    this.#total = frames;
    this.zeroFrame = new Frame(0, new Uint8Array(PAGE_SIZE));
  }

  /** Whether any byte of a range of physical addresses is RAM. */
  isRam(physical: number, length: number): boolean {
    const [first, last] = [Math.floor(physical / PAGE_SIZE), Math.floor((physical + length - 1) / PAGE_SIZE)];
    return this.#zones.some((zone) => zone.overlaps(first, last));
  }

  /** Frames that nobody has, or was promised. */
  get freeFrames(): number {
    return this.#total - this.#frames.size - this.#reserved;
  }

  /** Frames that somebody has, or was promised. */
  get usedFrames(): number {
    return this.#total - this.freeFrames;
  }

  /** Pins that are held, all frames together. */
  get pinned(): number {
    return this.#pinned;
  }

  /** Promises frames to a mapping whose pages are not touched yet, so that touching them cannot fail. */
  reserve(frames: number): boolean {
    if (frames > this.freeFrames || this.oracle.choose(2, 'alloc.fail') === 1) return false;
    this.#reserved += frames;
    return true;
  }

  unreserve(frames: number): void {
    this.#reserved -= frames;
  }

  /** A frame over `storage` (4096 bytes, which become its contents), or undefined where memory has run out. */
  allocFrame(storage: Uint8Array, zone: ZoneName = 'Normal'): Frame | undefined {
    if (this.freeFrames <= 0) return undefined;
    for (let at = zone === 'Normal' ? 0 : zone === 'DMA32' ? 1 : 2; at < this.#zones.length; at++) {
      const pfn = this.#zones[at]?.take(this.#frames);
      if (pfn === undefined) continue;
      const frame = new Frame(pfn, storage);
      this.#frames.set(pfn, frame);
      return frame;
    }
    return undefined;
  }

  /** A frame that was promised by {@link reserve}. */
  allocReserved(storage: Uint8Array): Frame {
    this.#reserved--;
    const frame = this.allocFrame(storage);
    if (frame === undefined) throw new Error('BUG: a reserved frame is not there');
    return frame;
  }

  /** The allocated frame with that number. */
  frame(pfn: number): Frame | undefined {
    return this.#frames.get(pfn);
  }

  /** get_page(): one more reference. */
  get(frame: Frame): void {
    frame.refs++;
  }

  /** put_page(): one reference less; the last one frees the frame. */
  put(frame: Frame): void {
    if (frame === this.zeroFrame) return;
    if (--frame.refs > 0) return;
    if (this.#frames.get(frame.pfn) === frame) {
      this.#frames.delete(frame.pfn);
      for (const zone of this.#zones) zone.give(frame.pfn);
    } else if (this.trace.on) {
      this.trace.emit('warning', undefined, 'memory', `BUG: bad page state: frame ${frame.pfn} was free already`);
    }
  }

  /** Pins a frame for a device. */
  pin(frame: Frame): void {
    if (frame !== this.zeroFrame) frame.refs++;
    frame.pins++;
    this.#pinned++;
  }

  unpin(frame: Frame): void {
    frame.pins--;
    this.#pinned--;
    this.put(frame);
  }
}

/** A range of frames, handed out in an order that looks random and repeats exactly. */
class Zone {
  #next = 0;
  #free: number;
  readonly #mask: number;

  constructor(
    private readonly base: number,
    private readonly count: number,
  ) {
    this.#free = count;
    this.#mask = count > 1 ? 2 ** Math.ceil(Math.log2(count)) - 1 : 0;
  }

  /** The number of a frame that is not in use. */
  take(used: ReadonlyMap<number, Frame>): number | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    for (;;) {
      // An odd factor makes this a permutation of 0..mask; what falls outside the zone is passed over.
      const at = Math.imul(this.#next++, 0x9e37_79b1) & this.#mask;
      if (at < this.count && !used.has(this.base + at)) return this.base + at;
    }
  }

  overlaps(first: number, last: number): boolean {
    return first < this.base + this.count && last >= this.base;
  }

  /** The frame is free again, if it is one of these. */
  give(pfn: number): void {
    if (pfn >= this.base && pfn < this.base + this.count) this.#free++;
  }
}
