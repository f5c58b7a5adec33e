import { DMA_BIDIRECTIONAL, MAPPING_INFO, PAGE_SIZE, SCATTERLIST, type UserThread, virtualAddress } from '@usrdrv/core';
import type { EduBench } from '../bench.ts';
import { showResult } from '../violation.ts';
import { type CallOf, MAPPINGS } from './program.ts';
import { arenaAt, PLACES, type ProgramMemory } from './program-memory.ts';

/** A mapping that no device has: where a program names one that it never made. */
const NO_MAPPING = 0xdead_0000n;
const { info: INFO, list: LIST } = PLACES;
/** Entries that fit behind {@link PLACES.list}. */
const LIST_ENTRIES = (PAGE_SIZE - LIST) / SCATTERLIST.length;

/** The four PCI calls of a program. */
export class PciExecutor {
  readonly #mappings: bigint[] = Array.from({ length: MAPPINGS }, () => NO_MAPPING);
  /** Where the last consistent page is. */
  #consistent = 0n;

  constructor(
    private readonly edu: EduBench,
    private readonly memory: ProgramMemory,
  ) {}

  open(thread: UserThread, { device, mask }: CallOf<'usr_pci_open'>): number {
    const { domain, bus, slot, function: fn } = this.edu.address;
    const bits = { default: 0n, '28 bits': 0xfff_ffffn, '1 bit': 1n }[mask];
    const fd = device === 'edu' ? thread.usrPciOpen(bus, slot, fn, bits, domain) : thread.usrPciOpen(bus, 31, 7, bits);
    // U2: no mapping of an earlier open is left.
    if (fd >= 0) this.#mappings.fill(NO_MAPPING);
    return fd;
  }

  getConsistent(thread: UserThread, fd: number, call: CallOf<'usr_pci_get_consistent'>): string {
    const vaddrp = this.memory.pointer(call.vaddrp, PLACES.vaddr);
    const dmaaddrp = this.memory.pointer(call.dmaaddrp, PLACES.dmaaddr);
    const result = thread.usrPciGetConsistent(fd, call.size, vaddrp, dmaaddrp);
    if (result !== 0) return showResult(result);
    this.#consistent = this.memory.view(thread).getBigUint64(PLACES.vaddr, true);
    const bytes = thread.process.bytes(virtualAddress(this.#consistent), PAGE_SIZE);
    return bytes.every((byte) => byte === 0) ? '0: zeroed' : '0: not zeroed';
  }

  mmap(thread: UserThread, fd: number, call: CallOf<'usr_pci_mmap'>): string {
    const view = this.memory.view(thread);
    const { arena, offset, size, nents, direction, to } = call;
    const region = arena === 'null' ? 0n : arena === 'consistent' ? this.#consistent : arenaAt(arena, offset);
    view.setBigUint64(INFO + MAPPING_INFO.virtaddr, region, true);
    view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, 0n, true);
    view.setUint32(INFO + MAPPING_INFO.size, size, true);
    view.setBigUint64(INFO + MAPPING_INFO.sglist, this.memory.pointer(call.sglist, LIST), true);
    view.setInt32(INFO + MAPPING_INFO.nents, nents, true);
    view.setInt32(INFO + MAPPING_INFO.direction, direction, true);
    const result = thread.usrPciMmap(fd, this.memory.pointer(call.mp, INFO));
    if (result !== 0) return showResult(result);
    this.#mappings[to % MAPPINGS] = view.getBigUint64(INFO + MAPPING_INFO.dmaaddr, true);
    const filled = view.getInt32(INFO + MAPPING_INFO.nents, true);
    const pages = Math.ceil(((offset % PAGE_SIZE) + size) / PAGE_SIZE);
    if (filled < 1 || filled > Math.min(pages, LIST_ENTRIES)) return `0: ${filled} entries for ${pages} pages`;
    let bytes = 0n;
    for (let entry = 0; entry < filled; entry++) {
      bytes += view.getBigUint64(LIST + entry * SCATTERLIST.length + SCATTERLIST.len, true);
    }
    return `0: ${bytes} bytes`;
  }

  munmap(thread: UserThread, fd: number, { mp, mapping }: CallOf<'usr_pci_munmap'>): string {
    const at = mapping % MAPPINGS;
    const view = this.memory.view(thread);
    view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, this.#mappings[at] ?? NO_MAPPING, true);
    view.setInt32(INFO + MAPPING_INFO.direction, DMA_BIDIRECTIONAL, true);
    const result = thread.usrPciMunmap(fd, this.memory.pointer(mp, INFO));
    if (result === 0) this.#mappings[at] = NO_MAPPING;
    return showResult(result);
  }
}
