import { EBUSY, EFAULT, EINVAL, EMFILE, ENOMEM, PAGE_SIZE, SCATTERLIST } from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at } from '../context.ts';
import { openDevice, UsrPciCalls } from '../usr-pci-calls.ts';

const SCHEDULE = 'only an interleaving of two threads shows it: no sequence of calls does';
const NEVER_MAPPED = 0xbad_0000n;
/** More entries than any kernel allocates for one page. */
const ROOM = 20;

/** UD1 to UD5, UD9, UD10 and UD12: how the calls as posted lost track, and that they no longer do. */
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
    needs: ['edu', 'failing-dma-mappings'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.failDmaMapping();
      const { result, nents } = device.map({ region: t.memory(3), size: PAGE_SIZE });
      t.equal([result, nents], [0, 0], 'result and entries');
    },
  },
  {
    id: 'UD4',
    level: 'syscall',
    title: 'a mapping of no entries is ENOMEM',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'failing-dma-mappings'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.failDmaMapping();
      t.result(device.map({ region: t.memory(3), size: PAGE_SIZE }).result, -ENOMEM, 'usr_pci_mmap');
    },
  },
  { id: 'UD5', level: 'syscall', title: 'pages are pinned while another thread unmaps them', never: SCHEDULE },
  {
    id: 'UD9',
    level: 'syscall',
    title: 'a device that failed to enable once is busy for ever',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'failing-enables'],
    run(t) {
      t.failEnable();
      t.ok(openDevice(t.edu, t.thread) < 0, 'usr_pci_open fails');
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'the next usr_pci_open');
    },
  },
  {
    id: 'UD9',
    level: 'syscall',
    title: 'a device that failed to enable once can be opened afterwards',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'failing-enables'],
    run(t) {
      t.failEnable();
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
  { id: 'UD12', level: 'syscall', title: 'two threads open the same device at once', never: SCHEDULE },
];
