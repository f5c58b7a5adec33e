import {
  type BusAddress,
  busAddress,
  DMA_BIDIRECTIONAL,
  MAPPING_INFO,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SCATTERLIST,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { EduBench } from './bench.ts';
import { at, type Context } from './context.ts';

/** The addresses that edu reaches: 28 bits. */
export const EDU_DMA_MASK = 0xfff_ffffn;

/** What usr_pci_mmap is asked for. */
export interface MapRequest {
  readonly region: VirtualAddress;
  readonly size: number;
  readonly direction?: number;
  /** Entries there are room for; as many as M7 says always suffice where left out. */
  readonly nents?: number;
  /** Where the list goes, where it shall be elsewhere. */
  readonly sglist?: VirtualAddress;
  /** Bytes that the list's memory is filled with before the call. */
  readonly filler?: number;
  /** Called when everything is ready, right before the system call. */
  readonly ready?: () => void;
}

/** What usr_pci_mmap did. */
export interface MapResult {
  readonly result: number;
  readonly dmaaddr: bigint;
  readonly nents: number;
  readonly segments: readonly { readonly busAddress: BusAddress; readonly length: number }[];
  /** The whole of the list's memory. */
  readonly list: Uint8Array;
}

/** usr_pci_open of a device with the mask of edu: the descriptor, or -errno. */
export function openDevice(edu: EduBench, thread: UserThread, mask = EDU_DMA_MASK): number {
  const { domain, bus, slot, function: fn } = edu.address;
  return thread.usrPciOpen(bus, slot, fn, mask, domain);
}

/** The four system calls in the words of a case: what they point to is made, filled in and read back. */
export class UsrPciCalls {
  readonly fd: number;

  /** Opens edu, unless another descriptor is given. */
  constructor(
    private readonly t: Context,
    private readonly thread = t.thread,
    fd = t.succeeds(openDevice(t.edu, thread), 'usr_pci_open'),
  ) {
    this.fd = fd;
  }

  close(): void {
    this.t.result(this.thread.close(this.fd), 0, 'close');
  }

  map(request: MapRequest): MapResult {
    const { process } = this.thread;
    const needed = Math.floor(request.size / PAGE_SIZE) + 2;
    const room = Math.max(request.nents ?? needed, needed, 1) + 2;
    const list = this.#memory(Math.ceil((room * SCATTERLIST.length) / PAGE_SIZE));
    const bytes = process.bytes(list, room * SCATTERLIST.length);
    bytes.fill(request.filler ?? 0);
    const mp = this.mappingInfo({ ...request, nents: request.nents ?? needed, sglist: request.sglist ?? list });
    request.ready?.();
    const result = this.thread.usrPciMmap(this.fd, mp);
    const info = this.t.view(mp, MAPPING_INFO.length, process);
    const nents = info.getInt32(MAPPING_INFO.nents, true);
    return {
      result,
      dmaaddr: info.getBigUint64(MAPPING_INFO.dmaaddr, true),
      nents,
      segments:
        result === 0 ? segments(this.t.view(list, room * SCATTERLIST.length, process), Math.min(nents, room)) : [],
      list: bytes,
    };
  }

  /** A mapping that has to succeed. */
  mapped(region: VirtualAddress, size: number, direction = DMA_BIDIRECTIONAL): MapResult {
    const mapping = this.map({ region, size, direction });
    this.t.result(mapping.result, 0, `usr_pci_mmap of ${size} bytes`);
    return mapping;
  }

  unmap(dmaaddr: bigint): number {
    const mp = this.mappingInfo({ region: virtualAddress(0), size: 0, sglist: virtualAddress(0), nents: 0, dmaaddr });
    return this.thread.usrPciMunmap(this.fd, mp);
  }

  /** A page of consistent memory: where the process and the device find it. */
  consistent(): { readonly vaddr: VirtualAddress; readonly dmaaddr: BusAddress } {
    const { t } = this;
    const out = this.#memory(1);
    t.result(this.thread.usrPciGetConsistent(this.fd, PAGE_SIZE, out, at(out, 8)), 0, 'usr_pci_get_consistent');
    const view = t.view(out, 16, this.thread.process);
    return { vaddr: virtualAddress(view.getBigUint64(0, true)), dmaaddr: busAddress(view.getBigUint64(8, true)) };
  }

  /** A struct mapping_info in memory of the process. */
  mappingInfo(o: MapRequest & { readonly dmaaddr?: bigint }): VirtualAddress {
    const mp = this.#memory(1);
    const info = this.t.view(mp, MAPPING_INFO.length, this.thread.process);
    info.setBigUint64(MAPPING_INFO.virtaddr, o.region, true);
    info.setBigUint64(MAPPING_INFO.dmaaddr, o.dmaaddr ?? 0n, true);
    info.setUint32(MAPPING_INFO.size, o.size, true);
    info.setBigUint64(MAPPING_INFO.sglist, o.sglist ?? 0n, true);
    info.setInt32(MAPPING_INFO.nents, o.nents ?? 0, true);
    info.setInt32(MAPPING_INFO.direction, o.direction ?? DMA_BIDIRECTIONAL, true);
    return mp;
  }

  #memory(pages: number): VirtualAddress {
    return this.t.memory(pages, PROT_READ | PROT_WRITE, this.thread);
  }
}

function segments(list: DataView, nents: number): MapResult['segments'] {
  return Array.from({ length: nents }, (_, entry) => ({
    busAddress: busAddress(list.getBigUint64(entry * SCATTERLIST.length + SCATTERLIST.dmaaddr, true)),
    length: Number(list.getBigUint64(entry * SCATTERLIST.length + SCATTERLIST.len, true)),
  }));
}
