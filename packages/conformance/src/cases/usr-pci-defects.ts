import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOMEM,
  PAGE_SIZE,
  SCATTERLIST,
  virtualAddress,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at, type Context } from '../context.ts';
import { deviceReads, deviceWrites, eduRegisters } from '../edu-registers.ts';
import { type MapResult, openDevice, UsrPciCalls } from '../usr-pci-calls.ts';

const SCHEDULE = 'only an interleaving of two threads shows it: no sequence of calls does';
const NEVER_MAPPED = 0xbad_0000n;
/** More entries than any kernel allocates for one page. */
const ROOM = 20;

/** UD1 to UD12: the defects of the PCI system calls as posted, and that they have gone. */
export const usrPciDefectCases: readonly Case[] = [
  {
    id: 'UD1',
    level: 'syscall',
    title: 'unmapping an unknown address frees the oldest mapping',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      const device = new UsrPciCalls(t);
      device.mapped(t.memory(), PAGE_SIZE);
      const held = t.accounting.pins();
      device.unmap(NEVER_MAPPED);
      t.ok(t.accounting.pins() < held && held > pins, 'the pins of the mapping have gone');
    },
  },
  {
    id: 'UD1',
    level: 'syscall',
    title: 'unmapping an unknown address is EINVAL, and every mapping stays',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'accounting'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { dmaaddr } = device.mapped(t.memory(), PAGE_SIZE);
      const held = t.accounting.pins();
      t.result(device.unmap(NEVER_MAPPED), -EINVAL, 'usr_pci_munmap');
      t.equal(t.accounting.pins(), held, 'pins');
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap of the mapping');
    },
  },
  {
    id: 'UD2',
    level: 'syscall',
    title: 'a region of 4097 bytes whose second page is not mapped gets through to a kernel BUG',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'warnings'],
    run(t) {
      const device = new UsrPciCalls(t);
      const mp = device.mappingInfo({ region: at(t.edge(), -PAGE_SIZE), size: PAGE_SIZE + 1, nents: 3 });
      t.thread.usrPciMmap(device.fd, mp);
      t.ok(/BUG/.test(t.warnings().at(-1) ?? ''), 'the kernel reports a BUG');
    },
  },
  {
    id: 'UD2',
    level: 'syscall',
    title: 'a region of 4097 bytes whose second page is not mapped is EFAULT',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    run(t) {
      const region = at(t.edge(), -PAGE_SIZE);
      t.result(new UsrPciCalls(t).map({ region, size: PAGE_SIZE + 1 }).result, -EFAULT, 'usr_pci_mmap');
    },
  },
  {
    id: 'UD3',
    level: 'syscall',
    title: 'as many entries are read as the caller said there is room for, past the end of those that there are',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'warnings'],
    run(t) {
      new UsrPciCalls(t).map({ region: t.memory(), size: PAGE_SIZE, nents: ROOM });
      t.ok(/past the end/.test(t.warnings().at(-1) ?? ''), 'the kernel reads past the end of its list');
    },
  },
  {
    id: 'UD3',
    level: 'syscall',
    title: 'only the entries of the mapping are copied out',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    run(t) {
      const mapping = new UsrPciCalls(t).map({ region: t.memory(), size: PAGE_SIZE, nents: ROOM, filler: 0xa5 });
      t.result(mapping.result, 0, 'usr_pci_mmap');
      t.equal(mapping.nents, 1, 'entries');
      const behind = mapping.list.subarray(SCATTERLIST.length);
      t.equal(behind, new Uint8Array(behind.length).fill(0xa5), 'the memory behind them');
    },
  },
  {
    id: 'UD4',
    level: 'syscall',
    title: 'a mapping of no entries is taken for a mapping',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'faults'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.faults.failDmaMapping();
      const { result, nents } = device.map({ region: t.memory(3), size: PAGE_SIZE });
      t.equal([result, nents], [0, 0], 'result and entries');
    },
  },
  {
    id: 'UD4',
    level: 'syscall',
    title: 'a mapping of no entries is ENOMEM',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'faults'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.faults.failDmaMapping();
      t.result(device.map({ region: t.memory(3), size: PAGE_SIZE }).result, -ENOMEM, 'usr_pci_mmap');
    },
  },
  { id: 'UD5', level: 'syscall', title: 'pages are pinned while another thread unmaps them', never: SCHEDULE },
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
    id: 'UD9',
    level: 'syscall',
    title: 'a device that failed to enable once is busy for ever',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'faults'],
    run(t) {
      t.faults.failEnable();
      t.ok(openDevice(t.edu, t.thread) < 0, 'usr_pci_open fails');
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'the next usr_pci_open');
    },
  },
  {
    id: 'UD9',
    level: 'syscall',
    title: 'a device that failed to enable once can be opened afterwards',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'faults'],
    run(t) {
      t.faults.failEnable();
      t.ok(openDevice(t.edu, t.thread) < 0, 'usr_pci_open fails');
      t.succeeds(openDevice(t.edu, t.thread), 'the next usr_pci_open');
    },
  },
  {
    id: 'UD10',
    level: 'syscall',
    title: 'EMFILE releases the device twice, which is a kernel BUG',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'credentials', 'warnings'],
    run(t) {
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 0), 0, 'setrlimit');
      openDevice(t.edu, t.thread);
      t.ok(/BUG/.test(t.warnings().at(-1) ?? ''), 'the kernel reports a BUG');
    },
  },
  {
    id: 'UD10',
    level: 'syscall',
    title: 'EMFILE releases the device once',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials', 'warnings'],
    run(t) {
      const before = t.warnings().length;
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 0), 0, 'setrlimit');
      t.result(openDevice(t.edu, t.thread), -EMFILE, 'usr_pci_open');
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 64), 0, 'setrlimit');
      t.equal(t.warnings().length, before, 'warnings');
      t.succeeds(openDevice(t.edu, t.thread), 'the next usr_pci_open');
    },
  },
  {
    id: 'UD11',
    level: 'syscall',
    title: 'the consistent page is never freed',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'accounting'],
    run(t) {
      t.equal(leakedByConsistent(t), 1, 'frames that stay in use');
    },
  },
  {
    id: 'UD11',
    level: 'syscall',
    title: 'the consistent page is freed by munmap and close, in either order',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'accounting'],
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
  { id: 'UD12', level: 'syscall', title: 'two threads open the same device at once', never: SCHEDULE },
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
  const before = t.accounting.frames();
  const fd = t.succeeds(openDevice(t.edu, t.thread), 'usr_pci_open');
  t.result(t.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, at(out, 8)), 0, 'usr_pci_get_consistent');
  const vaddr = virtualAddress(t.view(out, 8).getBigUint64(0, true));
  if (order === 'close first') t.result(t.thread.close(fd), 0, 'close');
  t.result(t.thread.munmap(vaddr, PAGE_SIZE), 0, 'munmap');
  if (order === 'munmap first') t.result(t.thread.close(fd), 0, 'close');
  return t.accounting.frames() - before;
}

function first({ segments }: MapResult) {
  const [segment] = segments;
  if (segment === undefined) throw new Error('the mapping has no segment');
  return segment.busAddress;
}
