import { DMA_BIDIRECTIONAL, DMA_FROM_DEVICE, DMA_TO_DEVICE, PAGE_SIZE } from '@usrdrv/core';
import { directionName } from './dma-debug.ts';
import { type BusMaster, type Iommu, type IommuDomain, IoPage } from './iommu.ts';
import type { Frame, ZoneName } from './memory.ts';

/** One entry of a scatterlist (struct scatterlist): a part of one page. */
export interface ScatterlistEntry {
  readonly frame: Frame;
  readonly offset: number;
  readonly length: number;
}

/** A run of bus addresses. */
export interface BusSegment {
  readonly address: number;
  readonly length: number;
}

/** Memory in the hands of a device, from map to unmap. */
export class DmaMapping {
  readonly pages: IoPage[] = [];
  readonly segments: BusSegment[] = [];
  mapped = true;

  constructor(
    readonly device: DmaDevice,
    readonly kind: 'streaming' | 'consistent',
    readonly direction: number,
    readonly size: number,
    readonly mappedAt: Error | undefined,
  ) {}

  /** The first bus address: what the mapping is known by. */
  get address(): number {
    return this.segments[0]?.address ?? 0;
  }

  covers(address: number): boolean {
    return this.segments.some((each) => address >= each.address && address < each.address + each.length);
  }

  toString(): string {
    return `the ${this.kind} mapping of ${this.size} bytes at 0x${this.address.toString(16)}`;
  }
}

/** What a kernel thinks that a device reaches before anybody says otherwise. */
const DEFAULT_MASK = 0xffff_ffff;
/** The narrowest mask that the kernel can serve: the 16 MiB of GFP_DMA. */
const LEAST_MASK = 0xff_ffff;
const ALL_BITS = 2 ** 64 - 1;

/** The DMA interface of the kernel, for one device (Documentation/core-api/dma-api.rst). */
export class DmaDevice {
  readonly name: string;
  /** Highest bus address that the device can put out. */
  mask = DEFAULT_MASK;
  /** What is mapped now, by first bus address; without an IOMMU there may be several. */
  readonly #mappings = new Set<DmaMapping>();
  readonly #domain: IommuDomain;

  constructor(
    private readonly iommu: Iommu,
    readonly master: BusMaster,
  ) {
    this.name = `${master.address}`;
    this.#domain = iommu.domain(master);
  }

  get mappings(): Iterable<DmaMapping> {
    return this.#mappings;
  }

  /** dma_set_mask(): false (EIO) where the kernel cannot serve so narrow a mask; the old one stays then (M4). */
  setMask(mask: bigint): boolean {
    if (mask < BigInt(LEAST_MASK)) return false;
    this.mask = mask > 0xf_ffff_ffff_ffffn ? ALL_BITS : Number(mask);
    return true;
  }

  /**
   * dma_map_sg(): makes pages reachable in one direction, and hands them to the device (M2). Undefined is the result 0:
   * it failed (M3).
   */
  mapSg(list: readonly ScatterlistEntry[], direction: number): DmaMapping | undefined {
    const { iommu } = this;
    if (iommu.oracle.choose(2, 'dma.map') === 1) return undefined;
    const size = list.reduce((sum, { length }) => sum + length, 0);
    const mapping = new DmaMapping(this, 'streaming', direction, size, iommu.debug.stack('mapped here'));
    const iova = iommu.on ? this.#domain.allocIova(list.length, this.mask) : undefined;
    if (iommu.on && iova === undefined) return undefined;
    for (const [index, { frame, offset, length }] of list.entries()) {
      const target = iova === undefined ? this.#reachable(frame) : frame;
      if (target === undefined) {
        this.#drop(mapping);
        return undefined;
      }
      // M5: into the bounce buffer whatever the direction, or the device's bytes would come back mixed with old ones.
      if (target !== frame) target.bytes.set(frame.bytes);
      this.#add(mapping, iova?.[index] ?? target.pfn, target, frame, offset, length);
    }
    this.#mappings.add(mapping);
    iommu.debug.take(mapping);
    if (iommu.trace.on) iommu.trace.emit('map', undefined, this.name, `${mapping}, ${directionName(direction)}`);
    return mapping;
  }

  /** dma_unmap_sg(): takes the memory back. Whoever unmaps what is not mapped, or not so, is reported (M3, M6). */
  unmapSg(mapping: DmaMapping, size: number = mapping.size, direction: number = mapping.direction): void {
    const { debug, trace } = this.iommu;
    if (!this.#mappings.has(mapping)) {
      debug.report('double unmap', this.name, `${mapping} was unmapped before`, mapping);
      return;
    }
    if (size !== mapping.size) {
      debug.report('wrong size', this.name, `${mapping} is unmapped with ${size} bytes`, mapping);
    }
    if (direction !== mapping.direction) {
      const [was, is] = [directionName(mapping.direction), directionName(direction)];
      debug.report('wrong direction', this.name, `${mapping}, mapped ${was}, is unmapped ${is}`, mapping);
    }
    this.syncSgForCpu(mapping);
    this.#mappings.delete(mapping);
    this.#drop(mapping);
    if (trace.on) trace.emit('unmap', undefined, this.name, `${mapping}`);
  }

  /** dma_unmap_single() by address, as drivers that keep nothing else do it. */
  unmapAddress(address: number, size: number, direction: number): void {
    const mapping = this.find(address);
    if (mapping !== undefined) {
      this.unmapSg(mapping, size, direction);
      return;
    }
    const { debug } = this.iommu;
    const gone = debug.gone(this.master, address);
    const where = `0x${address.toString(16)}`;
    if (gone !== undefined) debug.report('double unmap', this.name, `${gone} was unmapped before`, gone);
    else debug.report('unknown unmap', this.name, `nothing was ever mapped at ${where}`, undefined);
  }

  /** The streaming mapping whose first bus address that is. The last one made, where there are several. */
  find(address: number): DmaMapping | undefined {
    let found: DmaMapping | undefined;
    for (const mapping of this.#mappings) {
      if (mapping.kind === 'streaming' && mapping.address === address) found = mapping;
    }
    return found;
  }

  /** dma_sync_sg_for_cpu(): hands the memory back for a while (M2). */
  syncSgForCpu(mapping: DmaMapping): void {
    this.iommu.debug.handBack(mapping);
    if (mapping.direction === DMA_TO_DEVICE) return;
    for (const { frame, memory, start, end } of mapping.pages) {
      if (frame !== memory) memory.bytes.set(frame.bytes.subarray(start, end), start);
    }
  }

  /** dma_sync_sg_for_device(): hands it to the device again (M2). */
  syncSgForDevice(mapping: DmaMapping): void {
    for (const { frame, memory, start, end } of mapping.pages) {
      if (frame !== memory) frame.bytes.set(memory.bytes.subarray(start, end), start);
    }
    this.iommu.debug.take(mapping);
  }

  /** dma_alloc_coherent() of one page: zeroed, and both sides see each other's writes (M1). Undefined: no memory. */
  allocCoherent(): DmaMapping | undefined {
    const { iommu } = this;
    if (iommu.oracle.choose(2, 'alloc.fail') === 1) return undefined;
    const frame = iommu.memory.allocFrame(new Uint8Array(PAGE_SIZE), iommu.on ? 'Normal' : this.#zone);
    if (frame === undefined) return undefined;
    const iova = iommu.on ? this.#domain.allocIova(1, this.mask)?.[0] : frame.pfn;
    if (iova === undefined) {
      iommu.memory.put(frame);
      return undefined;
    }
    const mapping = new DmaMapping(
      this,
      'consistent',
      DMA_BIDIRECTIONAL,
      PAGE_SIZE,
      iommu.debug.stack('allocated here'),
    );
    this.#add(mapping, iova, frame, frame, 0, PAGE_SIZE);
    this.#mappings.add(mapping);
    if (iommu.trace.on) iommu.trace.emit('map', undefined, this.name, `${mapping}`);
    return mapping;
  }

  /** dma_free_coherent() */
  freeCoherent(mapping: DmaMapping): void {
    const { debug, memory, trace } = this.iommu;
    if (!this.#mappings.delete(mapping)) {
      debug.report('double unmap', this.name, `${mapping} was freed before`, mapping);
      return;
    }
    this.#drop(mapping);
    for (const { frame } of mapping.pages) memory.put(frame);
    if (trace.on) trace.emit('unmap', undefined, this.name, `${mapping}`);
  }

  #add(mapping: DmaMapping, busPage: number, frame: Frame, memory: Frame, offset: number, length: number): void {
    const { direction, segments } = mapping;
    const [readable, writable] = [direction !== DMA_FROM_DEVICE, direction !== DMA_TO_DEVICE];
    const page = new IoPage(busPage, frame, memory, readable, writable, offset, offset + length, mapping);
    mapping.pages.push(page);
    this.#domain.map(page);
    const address = busPage * PAGE_SIZE + offset;
    const last = segments.at(-1);
    if (last !== undefined && last.address + last.length === address) {
      segments[segments.length - 1] = { address: last.address, length: last.length + length };
    } else {
      segments.push({ address, length });
    }
  }

  /** Takes the pages out of the device's reach. */
  #drop(mapping: DmaMapping): void {
    for (const page of mapping.pages) {
      this.#domain.unmap(page);
      if (page.frame !== page.memory) this.iommu.memory.put(page.frame);
    }
    mapping.mapped = false;
    this.iommu.debug.forget(mapping);
  }

  /** The frame itself, or a bounce buffer where the device cannot reach it (swiotlb, M5). */
  #reachable(frame: Frame): Frame | undefined {
    if ((frame.pfn + 1) * PAGE_SIZE - 1 <= this.mask) return frame;
    return this.iommu.memory.allocFrame(new Uint8Array(PAGE_SIZE), this.#zone);
  }

  get #zone(): ZoneName {
    if (this.mask < 0x1000_0000 - 1) return 'DMA';
    return this.mask < 2 ** 40 ? 'DMA32' : 'Normal';
  }
}
