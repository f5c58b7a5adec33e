import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_NONE,
  DMA_TO_DEVICE,
  EFAULT,
  EINVAL,
  ENOMEM,
  PAGE_SIZE,
  PROT_READ,
  virtualAddress,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at } from '../context.ts';
import { mapEdu } from '../edu-registers.ts';
import { UsrPciCalls } from '../usr-pci-calls.ts';

const NULL = virtualAddress(0);
const KERNEL_MEMORY = virtualAddress(0xffff_8000_0000_0000n);

/** U3 to U5: consistent memory, and memory of the process for the device. */
export const usrPciMapCases: readonly Case[] = [
  {
    id: 'U3',
    level: 'syscall',
    title: 'a page of consistent memory is zeroed, mapped and page-aligned on both sides',
    needs: ['edu'],
    run(t) {
      const { vaddr, dmaaddr } = new UsrPciCalls(t).consistent();
      t.equal(vaddr % BigInt(PAGE_SIZE), 0n, 'alignment of the virtual address');
      t.equal(dmaaddr % BigInt(PAGE_SIZE), 0n, 'alignment of the bus address');
      t.ok(
        t.process.bytes(vaddr, PAGE_SIZE).every((byte) => byte === 0),
        'the page is zeroed',
      );
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'a bad descriptor is EINVAL, not EBADF, and comes before a bad size',
    needs: ['edu'],
    run(t) {
      const out = t.memory();
      for (const fd of [-1, 1000]) {
        t.result(t.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, at(out, 8)), -EINVAL, `descriptor ${fd}`);
      }
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'a descriptor of something else is EINVAL',
    needs: ['edu'],
    run(t) {
      const out = t.memory();
      t.result(t.thread.usrPciGetConsistent(t.openIrq(), PAGE_SIZE, out, at(out, 8)), -EINVAL, 'an irq file');
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'any size but a page is EINVAL, and comes before bad pointers',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      for (const size of [0, 1, PAGE_SIZE - 1, PAGE_SIZE + 1, 2 * PAGE_SIZE, -1, 2 ** 31]) {
        t.result(t.thread.usrPciGetConsistent(fd, size, NULL, NULL), -EINVAL, `size ${size}`);
      }
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'a pointer that cannot be written is EFAULT, and nothing stays mapped',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const out = t.memory();
      for (const bad of [NULL, KERNEL_MEMORY, t.edge(), t.memory(1, PROT_READ)]) {
        t.view(out, 8).setBigUint64(0, 0n, true);
        t.result(t.thread.usrPciGetConsistent(fd, PAGE_SIZE, bad, out), -EFAULT, 'vaddrp');
        t.result(t.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, bad), -EFAULT, 'dmaaddrp');
        const vaddr = virtualAddress(t.view(out, 8).getBigUint64(0, true));
        t.throws('EFAULT', 'the page is unmapped again', () => t.process.bytes(vaddr, PAGE_SIZE));
      }
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'a failed allocation is ENOMEM, and the next call works',
    needs: ['edu', 'failing-allocations'],
    run(t) {
      const device = new UsrPciCalls(t);
      const out = t.memory();
      t.process.bytes(out, 16).fill(0);
      const call = (): number => t.thread.usrPciGetConsistent(device.fd, PAGE_SIZE, out, at(out, 8));
      const undo = (): void => {
        t.thread.munmap(virtualAddress(t.view(out, 8).getBigUint64(0, true)), PAGE_SIZE);
      };
      const what = 'usr_pci_get_consistent';
      t.result(t.eachAllocationFails(what, call, undo), 0, `${what} when none fails`);
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'consistent memory is not inherited over fork',
    needs: ['edu', 'fork'],
    run(t) {
      const { vaddr } = new UsrPciCalls(t).consistent();
      const child = t.fork();
      t.throws('EFAULT', 'the page in the child', () => child.process.bytes(vaddr, PAGE_SIZE));
      t.equal(t.process.bytes(vaddr, PAGE_SIZE).length, PAGE_SIZE, 'the page in the parent');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'mapping fills in the list, its length and the address that names the mapping',
    needs: ['edu'],
    run(t) {
      const mapping = new UsrPciCalls(t).mapped(at(t.memory(3), 100), 2 * PAGE_SIZE);
      t.ok(mapping.nents >= 1 && mapping.nents <= 4, `1 to 4 entries, not ${mapping.nents}`);
      const total = mapping.segments.reduce((sum, { length }) => sum + length, 0);
      t.equal(total, 2 * PAGE_SIZE, 'bytes in the list');
      t.equal(mapping.dmaaddr, BigInt(mapping.segments[0]?.busAddress ?? 0n), 'dmaaddr is the first bus address');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'bad and foreign descriptors are EINVAL, before a bad pointer',
    needs: ['edu'],
    run(t) {
      const irq = t.openIrq();
      for (const fd of [-1, 1000, irq]) t.result(t.thread.usrPciMmap(fd, NULL), -EINVAL, `descriptor ${fd}`);
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a mapping_info that cannot be read is EFAULT',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      for (const mp of [NULL, KERNEL_MEMORY, t.edge(), at(t.edge(), -39)]) {
        t.result(t.thread.usrPciMmap(fd, mp), -EFAULT, `mapping_info at ${mp.toString(16)}`);
      }
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'an unknown direction is EINVAL, before a list that is too small',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      for (const direction of [DMA_NONE, 4, -1, 0x7fff_ffff]) {
        const { result } = device.map({ region: NULL, size: 0, nents: 0, direction });
        t.result(result, -EINVAL, `direction ${direction}`);
      }
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a list of fewer than size / PAGE_SIZE + 2 entries, or a size of 0, is EINVAL, before a bad region',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      for (const [size, nents] of [
        [1, 1],
        [PAGE_SIZE, 2],
        [3 * PAGE_SIZE + 1, 4],
        [100, 0],
        [100, -1],
        [100, -0x8000_0000],
        [0, 2],
        [0, 100],
      ] as const) {
        t.result(device.map({ region: NULL, size, nents }).result, -EINVAL, `size ${size}, nents ${nents}`);
      }
      t.result(device.map({ region: t.memory(), size: PAGE_SIZE, nents: 3 }).result, 0, 'just enough entries');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a region that is not mapped, or not all of it, is EFAULT and pins nothing',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const bad = {
        'the null page': { region: NULL, size: 4 },
        'kernel memory': { region: KERNEL_MEMORY, size: 4 },
        'unmapped memory': { region: t.edge(), size: 4 },
        'a region whose last page is unmapped': { region: at(t.edge(), -PAGE_SIZE), size: 2 * PAGE_SIZE },
      };
      const pins = t.bench.accounting?.pins();
      for (const [what, request] of Object.entries(bad)) t.result(device.map(request).result, -EFAULT, what);
      t.equal(t.bench.accounting?.pins(), pins, 'pins');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'read-only memory is EFAULT but for DMA_TO_DEVICE',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const region = t.memory(1, PROT_READ);
      for (const direction of [DMA_BIDIRECTIONAL, DMA_FROM_DEVICE]) {
        t.result(device.map({ region, size: 64, direction }).result, -EFAULT, `direction ${direction}`);
      }
      t.result(device.map({ region, size: 64, direction: DMA_TO_DEVICE }).result, 0, 'DMA_TO_DEVICE');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'consistent memory and device memory as the region are EFAULT',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { vaddr } = device.consistent();
      t.result(device.map({ region: vaddr, size: PAGE_SIZE }).result, -EFAULT, 'consistent memory');
      t.result(device.map({ region: mapEdu(t), size: PAGE_SIZE }).result, -EFAULT, 'device memory');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a list that cannot be written is EFAULT, and the mapping is undone',
    needs: ['edu', 'accounting'],
    run(t) {
      const device = new UsrPciCalls(t);
      const region = t.memory();
      t.process.bytes(region, PAGE_SIZE);
      const pins = t.accounting.pins();
      for (const sglist of [NULL, KERNEL_MEMORY, t.edge(), t.memory(1, PROT_READ)]) {
        t.result(device.map({ region, size: PAGE_SIZE, sglist }).result, -EFAULT, 'usr_pci_mmap');
        t.equal(t.accounting.pins(), pins, 'pins');
      }
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a failed allocation is ENOMEM, and nothing stays pinned',
    needs: ['edu', 'failing-allocations', 'accounting'],
    run(t) {
      const device = new UsrPciCalls(t);
      const request = { region: t.memory(), size: PAGE_SIZE };
      const pins = t.accounting.pins();
      for (let nth = 1; ; nth++) {
        const { result } = device.map({ ...request, ready: () => t.faults.failAllocation(nth) });
        if (!t.faults.allocationFailed() || result === 0) break;
        t.result(result, -ENOMEM, `usr_pci_mmap whose allocation ${nth} fails`);
        t.equal(t.accounting.pins(), pins, 'pins');
      }
      t.result(device.map(request).result, 0, 'usr_pci_mmap when none fails');
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'pins count against RLIMIT_MEMLOCK: ENOMEM beyond it, and room again after unmapping',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.result(t.thread.setrlimit('RLIMIT_MEMLOCK', 2 * PAGE_SIZE), 0, 'setrlimit');
      const two = device.mapped(t.memory(2), 2 * PAGE_SIZE);
      t.result(device.map({ region: t.memory(), size: 1 }).result, -ENOMEM, 'a third page');
      t.result(device.unmap(two.dmaaddr), 0, 'usr_pci_munmap');
      device.mapped(t.memory(), 1);
    },
  },
  {
    id: 'U5',
    level: 'syscall',
    title: 'unmapping takes the mapping away: a second time it is unknown',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { dmaaddr } = device.mapped(t.memory(), PAGE_SIZE);
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap');
      t.result(device.unmap(dmaaddr), -EINVAL, 'usr_pci_munmap again');
    },
  },
  {
    id: 'U5',
    level: 'syscall',
    title: 'the mapping is named by its dmaaddr alone, in any order',
    needs: ['edu', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      const device = new UsrPciCalls(t);
      const mappings = [1, 2, 3].map((pages) => device.mapped(t.memory(pages), pages * PAGE_SIZE));
      for (const entry of [1, 2, 0]) t.result(device.unmap(mappings[entry]?.dmaaddr ?? 0n), 0, 'usr_pci_munmap');
      t.equal(t.accounting.pins(), pins, 'pins');
    },
  },
  {
    id: 'U5',
    level: 'syscall',
    title: 'a region that the process unmapped meanwhile is still pinned, and can be unmapped for the device',
    needs: ['edu', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      const device = new UsrPciCalls(t);
      const region = t.memory(2);
      const { dmaaddr } = device.mapped(region, 2 * PAGE_SIZE);
      t.result(t.thread.munmap(region, 2 * PAGE_SIZE), 0, 'munmap');
      t.ok(t.accounting.pins() > pins, 'the pages are pinned');
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap');
      t.equal(t.accounting.pins(), pins, 'pins');
    },
  },
  {
    id: 'U5',
    level: 'syscall',
    title: 'bad and foreign descriptors are EINVAL before a bad pointer, which is EFAULT',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const irq = t.openIrq();
      for (const bad of [-1, 1000, irq]) t.result(t.thread.usrPciMunmap(bad, NULL), -EINVAL, `descriptor ${bad}`);
      for (const mp of [NULL, KERNEL_MEMORY, t.edge()]) {
        t.result(t.thread.usrPciMunmap(fd, mp), -EFAULT, `mapping_info at ${mp.toString(16)}`);
      }
    },
  },
  {
    id: 'U5',
    level: 'syscall',
    title: 'a mapping of another device is unknown: EINVAL',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'second-edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { domain, bus, slot, function: fn } = t.secondEdu.address;
      const fd = t.succeeds(t.thread.usrPciOpen(bus, slot, fn, 0n, domain), 'usr_pci_open of the second');
      const { dmaaddr } = device.mapped(t.memory(), PAGE_SIZE);
      t.result(new UsrPciCalls(t, t.thread, fd).unmap(dmaaddr), -EINVAL, 'usr_pci_munmap by the second');
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap by the first');
    },
  },
];
