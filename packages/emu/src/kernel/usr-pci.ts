import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  MAPPING_INFO,
  PAGE_SIZE,
  PciAddress,
  SCATTERLIST,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { BusSegment, ScatterlistEntry } from '../machine/dma-api.ts';
import type { Iommu } from '../machine/iommu.ts';
import type { Frame, PhysicalMemory } from '../machine/memory.ts';
import type { MsiController } from '../machine/msi.ts';
import type { TraceLog } from '../trace/log.ts';
import type { FileTable } from './file.ts';
import type { IrqCore } from './irq-desc.ts';
import type { MmStruct } from './mm.ts';
import type { PciDev, PciDevs } from './pci-dev.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';

/** What the usr_pci calls need of the kernel. */
export interface UsrPciKernel {
  readonly oracle: Oracle;
  readonly trace: TraceLog;
  readonly memory: PhysicalMemory;
  readonly iommu: Iommu;
  readonly pciDevs: PciDevs;
  readonly fileTable: FileTable;
  readonly irqCore: IrqCore;
  readonly msi: MsiController;
}

/** The system calls of U, in either profile: each results in a number >= 0, or -errno. */
export interface UsrPci {
  /** usr_pci_open (U1): a descriptor. */
  open(task: Task, bus: number, slot: number, fn: number, dmaMask: bigint, domain: number): Steps<number>;
  /** usr_pci_get_consistent (U3) */
  getConsistent(task: Task, fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): Steps<number>;
  /** usr_pci_mmap (U4) */
  mmap(task: Task, fd: number, mp: VirtualAddress): Steps<number>;
  /** usr_pci_munmap (U5) */
  munmap(task: Task, fd: number, mp: VirtualAddress): Steps<number>;
  /** usr_pci_irq_vectors: the number of vectors allocated. */
  irqVectors(task: Task, fd: number, min: number, max: number, irqs: VirtualAddress): Steps<number>;
  /** A function was pulled out of its slot. */
  unplugged(gone: PciDev): void;
  /** What these calls made the kernel complain about. */
  readonly warnings: readonly string[];
}

/** The function that usr_pci_open names, with slot and function cut to 5 and 3 bits (U1). */
export function findFunction(devs: PciDevs, domain: number, bus: number, slot: number, fn: number): PciDev | undefined {
  if (![domain, bus, slot, fn].every(Number.isInteger) || domain < 0 || bus < 0 || bus > 0xff) return undefined;
  if (domain > 0xffff_ffff) return undefined;
  return devs.get(`${new PciAddress({ domain, bus, slot: slot & 0x1f, function: fn & 7 })}`);
}

/** The bus addresses that a device says it reaches, as 64 bits; undefined for what is no number of that kind. */
export function maskBits(dmaMask: bigint): bigint | undefined {
  return typeof dmaMask === 'bigint' ? BigInt.asUintN(64, dmaMask) : undefined;
}

export function isDirection(direction: number): boolean {
  return direction === DMA_TO_DEVICE || direction === DMA_FROM_DEVICE || direction === DMA_BIDIRECTIONAL;
}

/** struct mapping_info */
export interface MappingInfo {
  readonly virtaddr: bigint;
  readonly dmaaddr: bigint;
  readonly size: number;
  readonly sglist: bigint;
  readonly nents: number;
  readonly direction: number;
}

/** Reads a struct mapping_info; undefined is EFAULT. */
export function readMappingInfo(mm: MmStruct, mp: VirtualAddress): MappingInfo | undefined {
  const bytes = mm.copyFromUser(mp, MAPPING_INFO.length);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer);
  return {
    virtaddr: view.getBigUint64(MAPPING_INFO.virtaddr, true),
    dmaaddr: view.getBigUint64(MAPPING_INFO.dmaaddr, true),
    size: view.getUint32(MAPPING_INFO.size, true),
    sglist: view.getBigUint64(MAPPING_INFO.sglist, true),
    nents: view.getInt32(MAPPING_INFO.nents, true),
    direction: view.getInt32(MAPPING_INFO.direction, true),
  };
}

/** Writes a struct mapping_info, then the scatterlist where it says; false is EFAULT. */
export function writeMapping(
  mm: MmStruct,
  mp: VirtualAddress,
  info: MappingInfo,
  segments: readonly BusSegment[],
): boolean {
  const bytes = new Uint8Array(MAPPING_INFO.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(MAPPING_INFO.virtaddr, info.virtaddr, true);
  view.setBigUint64(MAPPING_INFO.dmaaddr, info.dmaaddr, true);
  view.setUint32(MAPPING_INFO.size, info.size, true);
  view.setBigUint64(MAPPING_INFO.sglist, info.sglist, true);
  view.setInt32(MAPPING_INFO.nents, info.nents, true);
  view.setInt32(MAPPING_INFO.direction, info.direction, true);
  if (!mm.copyToUser(mp, bytes)) return false;
  const list = new DataView(new ArrayBuffer(segments.length * SCATTERLIST.length));
  let at = 0;
  for (const { address, length } of segments) {
    list.setBigUint64(at + SCATTERLIST.dmaaddr, BigInt(address), true);
    list.setBigUint64(at + SCATTERLIST.len, BigInt(length), true);
    at += SCATTERLIST.length;
  }
  return mm.copyToUser(virtualAddress(info.sglist), new Uint8Array(list.buffer));
}

/** Writes 64 bits; false is EFAULT. */
export function putInt64(mm: MmStruct, address: VirtualAddress, value: bigint): boolean {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return mm.copyToUser(address, bytes);
}

/** M7: where in its first page a region starts. */
function offsetInPage(virtaddr: bigint): number {
  return Number(virtaddr % BigInt(PAGE_SIZE));
}

/** M7: how many pages a region has a part of. */
export function pagesOf(virtaddr: bigint, size: number): number {
  return Math.ceil((offsetInPage(virtaddr) + size) / PAGE_SIZE);
}

/** M7: one entry a page, the first from the offset on, the last as far as the region goes. `pages` may be more than enough. */
export function scatterlistOf(virtaddr: bigint, size: number, pages: readonly Frame[]): ScatterlistEntry[] {
  const list: ScatterlistEntry[] = [];
  let offset = offsetInPage(virtaddr);
  let left = size;
  for (const frame of pages) {
    if (left === 0) break;
    const length = Math.min(left, PAGE_SIZE - offset);
    list.push({ frame, offset, length });
    left -= length;
    offset = 0;
  }
  return list;
}
