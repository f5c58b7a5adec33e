import { DMA_BIDIRECTIONAL, DMA_FROM_DEVICE, DMA_TO_DEVICE, PAGE_SIZE, virtualAddress } from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at, type Context } from '../context.ts';
import { deviceReads, deviceWrites, eduRegisters } from '../edu-registers.ts';
import { type MapResult, openDevice, UsrPciCalls } from '../usr-pci-calls.ts';

/** UD6, UD7, UD8 and UD11: what the calls as posted did to memory, and that they no longer do. */
export const dmaDefectCases: readonly Case[] = [
  {
    id: 'UD6',
    level: 'syscall',
    title: 'a page that the device wrote is not dirty after it was unmapped',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'accounting'],
    async run(t) {
      t.equal(await dirtiedByDevice(t, DMA_FROM_DEVICE), false, 'dirty');
    },
  },
  {
    id: 'UD6',
    level: 'syscall',
    title: 'a page that the device may have written is dirty after it was unmapped, one that it only read is not',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'accounting'],
    async run(t) {
      t.equal(await dirtiedByDevice(t, DMA_FROM_DEVICE), true, 'dirty after from-device');
    },
  },
  {
    id: 'UD7',
    level: 'syscall',
    title: 'more pages are pinned than the region has',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      new UsrPciCalls(t).mapped(t.memory(4), PAGE_SIZE);
      t.ok(t.accounting.pins() - pins > 1, 'pins for one page');
    },
  },
  {
    id: 'UD7',
    level: 'syscall',
    title: 'no limit holds for pins',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.setrlimit('RLIMIT_MEMLOCK', PAGE_SIZE), 0, 'setrlimit');
      new UsrPciCalls(t).mapped(t.memory(16), 16 * PAGE_SIZE);
    },
  },
  {
    id: 'UD7',
    level: 'syscall',
    title: 'exactly the pages of the region are pinned',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'accounting'],
    run(t) {
      const device = new UsrPciCalls(t);
      for (const [offset, size, pages] of [
        [0, PAGE_SIZE, 1],
        [0, 1, 1],
        [1, PAGE_SIZE, 2],
        [PAGE_SIZE - 1, 2, 2],
        [0, 3 * PAGE_SIZE, 3],
      ] as const) {
        const pins = t.accounting.pins();
        device.mapped(at(t.memory(4), offset), size);
        t.equal(t.accounting.pins() - pins, pages, `pins for ${size} bytes at offset ${offset}`);
      }
    },
  },
  {
    id: 'UD8',
    level: 'syscall',
    title: 'memory that was untouched when it was mapped to-device reaches the device as zeros',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    async run(t) {
      t.equal(await seenByDevice(t), new Uint8Array(16), 'what the device read');
    },
  },
  {
    id: 'UD8',
    level: 'syscall',
    title: 'memory that was untouched when it was mapped to-device reaches the device as it was written',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      t.equal(await seenByDevice(t), new Uint8Array(16).fill(0x42), 'what the device read');
    },
  },
  {
    id: 'UD8',
    level: 'syscall',
    title: 'after a fork the device writes to memory that the parent has no longer',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'fork'],
    async run(t) {
      t.equal(await writtenAfterFork(t), new Uint8Array(16).fill(0x11), 'the memory of the parent');
    },
  },
  {
    id: 'UD8',
    level: 'syscall',
    title: 'after a fork the device writes to the memory of the parent',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'fork'],
    async run(t) {
      t.equal(await writtenAfterFork(t), new Uint8Array(16), 'the memory of the parent');
    },
  },
  {
    id: 'UD11',
    level: 'syscall',
    title: 'the consistent page is never freed',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'frames'],
    run(t) {
      t.equal(leakedByConsistent(t), 1, 'frames that stay in use');
    },
  },
  {
    id: 'UD11',
    level: 'syscall',
    title: 'the consistent page is freed by munmap and close, in either order',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'frames'],
    run(t) {
      t.equal(leakedByConsistent(t), 0, 'frames that stay in use');
      t.equal(leakedByConsistent(t, 'close first'), 0, 'frames that stay in use, closed first');
    },
  },
  {
    id: 'UD11',
    level: 'syscall',
    title: 'a consistent page that mremap tries to move stays what it is',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      const edu = eduRegisters(t);
      const { vaddr, dmaaddr } = new UsrPciCalls(t).consistent();
      const moved = t.thread.mremap(vaddr, PAGE_SIZE, 2 * PAGE_SIZE, 1);
      t.ok(moved < 0, 'growing it fails');
      t.process.bytes(vaddr, PAGE_SIZE).fill(0x66);
      await deviceReads(t, edu, dmaaddr, 16);
      t.process.bytes(vaddr, PAGE_SIZE).fill(0);
      await deviceWrites(t, edu, dmaaddr, 16);
      t.equal(t.process.bytes(vaddr, 16), new Uint8Array(16).fill(0x66), 'what came back');
    },
  },
];

async function dirtiedByDevice(t: Context, direction: number): Promise<boolean> {
  const device = new UsrPciCalls(t);
  const region = t.memory();
  const mapping = device.mapped(region, PAGE_SIZE, direction);
  await deviceWrites(t, eduRegisters(t), first(mapping), 16);
  t.result(device.unmap(mapping.dmaaddr), 0, 'usr_pci_munmap');
  return t.accounting.dirty(region);
}

async function seenByDevice(t: Context): Promise<Uint8Array> {
  const edu = eduRegisters(t);
  const device = new UsrPciCalls(t);
  const region = t.memory();
  const mapping = device.mapped(region, PAGE_SIZE, DMA_TO_DEVICE);
  t.process.bytes(region, PAGE_SIZE).fill(0x42);
  await deviceReads(t, edu, first(mapping), 16);
  const { vaddr, dmaaddr } = device.consistent();
  await deviceWrites(t, edu, dmaaddr, 16);
  return t.process.bytes(vaddr, 16).slice();
}

/** What the parent finds where the device wrote zeros, after it forked and wrote 0x11 there itself. */
async function writtenAfterFork(t: Context): Promise<Uint8Array> {
  const edu = eduRegisters(t);
  const device = new UsrPciCalls(t);
  const region = t.memory();
  t.process.bytes(region, PAGE_SIZE).fill(0x11);
  const mapping = device.mapped(region, PAGE_SIZE, DMA_BIDIRECTIONAL);
  t.fork();
  t.process.bytes(region, PAGE_SIZE).fill(0x11);
  await deviceReads(t, edu, device.consistent().dmaaddr, 16);
  await deviceWrites(t, edu, first(mapping), 16);
  return t.process.bytes(region, 16).slice();
}

/** Frames that are in use after a consistent page was allocated, unmapped and its device closed. */
function leakedByConsistent(t: Context, order: 'munmap first' | 'close first' = 'munmap first'): number {
  const out = t.memory();
  t.process.bytes(out, 16);
  const before = t.frames();
  const fd = t.succeeds(openDevice(t.edu, t.thread), 'usr_pci_open');
  t.result(t.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, at(out, 8)), 0, 'usr_pci_get_consistent');
  const vaddr = virtualAddress(t.view(out, 8).getBigUint64(0, true));
  if (order === 'close first') t.result(t.thread.close(fd), 0, 'close');
  t.result(t.thread.munmap(vaddr, PAGE_SIZE), 0, 'munmap');
  if (order === 'munmap first') t.result(t.thread.close(fd), 0, 'close');
  return t.frames() - before;
}

function first({ segments }: MapResult) {
  const [segment] = segments;
  if (segment === undefined) throw new Error('the mapping has no segment');
  return segment.busAddress;
}
