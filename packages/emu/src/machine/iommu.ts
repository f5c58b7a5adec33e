import { PAGE_SIZE } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { TraceLog } from '../trace/log.ts';
import type { DmaMapping } from './dma-api.ts';
import { type DmaDebug, directionName } from './dma-debug.ts';
import type { Frame, PhysicalMemory } from './memory.ts';

/** Who can put addresses on the bus: a PCI function. */
export interface BusMaster {
  /** Its name in reports. */
  readonly address: { toString(): string };
}

/** One page of bus addresses, and what is behind it. */
export class IoPage {
  /** While it is the device's: a page whose mapped part the CPU must not have made different. */
  snapshot: Uint8Array | undefined = undefined;

  constructor(
    readonly busPage: number,
    /** Where the device ends up: the memory, or its bounce buffer (M5). */
    readonly frame: Frame,
    /** The memory that is mapped. */
    readonly memory: Frame,
    readonly readable: boolean,
    readonly writable: boolean,
    /** Which bytes of the page are mapped: from `start`, up to `end`. */
    readonly start: number,
    readonly end: number,
    readonly mapping: DmaMapping,
  ) {}
}

/**
 * Stands between the devices and memory. Switched on, a bus address means what the device's own page table says; switched
 * off, it is a physical address, and only {@link DmaDebug} keeps devices to what is mapped for them.
 */
export class Iommu {
  readonly #domains = new Map<BusMaster, IommuDomain>();

  constructor(
    readonly memory: PhysicalMemory,
    readonly debug: DmaDebug,
    readonly oracle: Oracle,
    readonly trace: TraceLog,
    readonly on: boolean,
  ) {}

  /** The page table of a device. */
  domain(master: BusMaster): IommuDomain {
    let domain = this.#domains.get(master);
    if (domain === undefined) {
      domain = new IommuDomain(this, master);
      this.#domains.set(master, domain);
    }
    return domain;
  }

  /** A device reads memory. False where it was refused; what came before the refused byte is in `into`. */
  dmaRead(master: BusMaster, address: bigint, into: Uint8Array): boolean {
    return this.domain(master).access(Number(address), into, false);
  }

  /** A device writes memory. False where it was refused; what came before the refused byte is written. */
  dmaWrite(master: BusMaster, address: bigint, from: Uint8Array): boolean {
    return this.domain(master).access(Number(address), from, true);
  }
}

/** Bus addresses stay below 4 GiB where the device would reach further too, as Linux prefers it for PCI. */
const MOST_IOVA_BITS = 20;

/** What one device reaches of memory (struct iommu_domain). */
export class IommuDomain {
  /** By page of bus address. Without an IOMMU, mappings of the same page share one. */
  readonly #pages = new Map<number, IoPage[]>();
  #next = 0;

  constructor(
    private readonly iommu: Iommu,
    readonly master: BusMaster,
  ) {}

  /**
   * Finds bus addresses for `count` pages, none above the mask: scattered, or one run where the oracle wants the mapping's
   * entries merged. Undefined where there are no more. Never page 0: address 0 means failure.
   */
  allocIova(count: number, mask: number): number[] | undefined {
    const bits = Math.min(MOST_IOVA_BITS, Math.floor(Math.log2((mask + 1) / PAGE_SIZE)));
    const pages = 2 ** bits;
    if (count > pages - 1 - this.#pages.size) return undefined;
    if (count > 1 && this.iommu.oracle.choose(2, 'dma.merge') === 1) {
      const run = this.#run(count, pages);
      if (run !== undefined) return run;
    }
    const found: number[] = [];
    while (found.length < count) {
      // An odd factor makes this a permutation: a page comes back last of all, so that a stale address stays one.
      const page = Math.imul(++this.#next, 0x9e37_79b1) & (pages - 1);
      if (page !== 0 && !this.#pages.has(page)) found.push(page);
    }
    return found;
  }

  map(page: IoPage): void {
    const pages = this.#pages.get(page.busPage);
    if (pages === undefined) this.#pages.set(page.busPage, [page]);
    else pages.push(page);
  }

  unmap(page: IoPage): void {
    const pages = this.#pages.get(page.busPage);
    if (pages === undefined) return;
    if (pages.length === 1) this.#pages.delete(page.busPage);
    else pages.splice(pages.indexOf(page), 1);
  }

  /** The device moves `buffer` to or from memory. */
  access(address: number, buffer: Uint8Array, write: boolean): boolean {
    const { debug } = this.iommu;
    for (let done = 0; done < buffer.length; ) {
      const at = address + done;
      const busPage = Math.floor(at / PAGE_SIZE);
      const from = at - busPage * PAGE_SIZE;
      const left = Math.min(buffer.length - done, PAGE_SIZE - from);
      const page = this.#find(busPage, from, write);
      const frame = page?.frame ?? this.#unprotected(busPage);
      if (frame === undefined) {
        this.#fault(at, busPage, from, write);
        return false;
      }
      const length = page === undefined || !debug.on ? left : Math.min(left, page.end - from);
      const bytes = frame.bytes.subarray(from, from + length);
      const watched = page?.snapshot !== undefined;
      if (watched) debug.checkCpu(page, from, from + length, `before the device ${write ? 'wrote' : 'read'} it`);
      if (write) bytes.set(buffer.subarray(done, done + length));
      else buffer.set(bytes, done);
      if (write && watched) debug.deviceWrote(page, from, from + length);
      done += length;
    }
    return true;
  }

  /** The mapping through which the device may access that byte. With debugging on, to the byte; else by the page. */
  #find(busPage: number, at: number, write: boolean): IoPage | undefined {
    const exact = this.iommu.debug.on;
    for (const page of this.#pages.get(busPage) ?? []) {
      if (!(write ? page.writable : page.readable)) continue;
      if (!exact || (at >= page.start && at < page.end)) return page;
    }
    return undefined;
  }

  /** Without an IOMMU, and without debugging, a device reaches all of memory. */
  #unprotected(busPage: number): Frame | undefined {
    const { on, debug, memory } = this.iommu;
    return on || debug.on ? undefined : memory.frame(busPage);
  }

  #fault(address: number, busPage: number, at: number, write: boolean): void {
    const { debug, trace } = this.iommu;
    const name = `${this.master.address}`;
    const where = `0x${address.toString(16)}`;
    const access = write ? 'write to' : 'read from';
    if (trace.on) trace.emit('warning', undefined, name, `DMA fault: ${access} ${where}`);
    const pages = this.#pages.get(busPage) ?? [];
    const page = pages.find(({ start, end }) => at >= start && at < end);
    if (page !== undefined) {
      const what = write ? 'device write' : 'device read';
      debug.report(what, name, `${access} ${where}, mapped ${directionName(page.mapping.direction)}`, page.mapping);
      return;
    }
    const gone = debug.gone(this.master, address);
    const after = gone === undefined ? '' : `, after ${gone} was unmapped`;
    debug.report('outside every mapping', name, `${access} ${where}${after}`, gone);
  }

  #run(count: number, pages: number): number[] | undefined {
    for (let first = 1; first + count <= pages; first++) {
      let length = 0;
      while (length < count && !this.#pages.has(first + length)) length++;
      if (length === count) return Array.from({ length }, (_, at) => first + at);
      first += length;
    }
    return undefined;
  }
}
