import {
  EBADF,
  EBUSY,
  EINVAL,
  EIO,
  EMFILE,
  ENFILE,
  ENOENT,
  EPERM,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PROT_READ,
  PROT_WRITE,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';
import { EDU_DMA_MASK, openDevice, UsrPciCalls } from '../usr-pci-calls.ts';

/** U1 and U2: claiming a device, and letting it go. */
export const usrPciOpenCases: readonly Case[] = [
  {
    id: 'U1',
    level: 'syscall',
    title: 'opening makes the device a bus master, until it is closed (U2)',
    needs: ['edu'],
    run(t) {
      t.equal(busMaster(t), false, 'bus master before');
      const device = new UsrPciCalls(t);
      t.equal(busMaster(t), true, 'bus master while open');
      device.close();
      t.equal(busMaster(t), false, 'bus master after close');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a slot without a device is ENOENT',
    needs: ['edu'],
    run(t) {
      const { bus, slot, function: fn } = t.edu.address;
      t.result(t.thread.usrPciOpen(bus, 31, 7, 0n), -ENOENT, 'an empty slot');
      t.result(t.thread.usrPciOpen(200, slot, fn, 0n), -ENOENT, 'an absent bus');
      t.result(t.thread.usrPciOpen(bus, slot, (fn + 1) & 7, 0n), -ENOENT, 'an absent function');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'slot and function are cut to 5 and 3 bits',
    needs: ['edu'],
    run(t) {
      const { bus, slot, function: fn } = t.edu.address;
      t.succeeds(t.thread.usrPciOpen(bus, slot + 32, fn + 8, 0n), 'usr_pci_open');
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'the same device again');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a domain without the device is ENOENT',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    run(t) {
      const { domain, bus, slot, function: fn } = t.edu.address;
      t.result(t.thread.usrPciOpen(bus, slot, fn, 0n, domain + 1), -ENOENT, 'another domain');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a device that is open is EBUSY, to everybody, whatever the mask',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'the second open');
      t.result(openDevice(t.edu, t.thread, 1n), -EBUSY, 'the second open with a bad mask');
      device.close();
      t.succeeds(openDevice(t.edu, t.thread), 'open after close');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a device that another process has open is EBUSY until that process has gone',
    needs: ['edu', 'fork'],
    run(t) {
      const child = t.fork();
      t.succeeds(openDevice(t.edu, child), 'open in the child');
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'open in the parent');
      child.exitGroup(0);
      t.succeeds(openDevice(t.edu, t.thread), 'open after the child has gone');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'mask 0 keeps the default, a mask that cannot be met is EIO and leaves the device free',
    needs: ['edu'],
    run(t) {
      t.result(openDevice(t.edu, t.thread, 1n), -EIO, 'a mask of one bit');
      t.equal(busMaster(t), false, 'bus master');
      const fd = t.succeeds(openDevice(t.edu, t.thread, 0n), 'mask 0');
      t.result(t.thread.close(fd), 0, 'close');
      t.succeeds(openDevice(t.edu, t.thread, EDU_DMA_MASK), '28 bits');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'an allocation that fails is ENOMEM and leaves the device free',
    needs: ['edu', 'failing-allocations'],
    run(t) {
      const open = (): number => openDevice(t.edu, t.thread);
      t.succeeds(
        t.eachAllocationFails('usr_pci_open', open, (fd) => t.thread.close(fd)),
        'usr_pci_open when none fails',
      );
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'with no descriptor left it is EMFILE and the device stays free',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 0), 0, 'setrlimit');
      t.result(openDevice(t.edu, t.thread), -EMFILE, 'usr_pci_open');
      t.equal(busMaster(t), false, 'bus master');
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 64), 0, 'setrlimit');
      t.succeeds(openDevice(t.edu, t.thread), 'the next usr_pci_open');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'without CAP_SYS_RAWIO it is EPERM',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.capset({ CAP_SYS_RAWIO: false }), 0, 'capset');
      t.result(openDevice(t.edu, t.thread), -EPERM, 'usr_pci_open');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a device that a driver of the kernel has is EBUSY',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'bind-driver'],
    async run(t) {
      await t.bench.bindDriver?.(t.edu.address);
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'usr_pci_open');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'a device that cannot be enabled is the error of enabling it',
    needs: ['edu', 'failing-enables'],
    run(t) {
      t.failEnable();
      t.result(openDevice(t.edu, t.thread), -EINVAL, 'usr_pci_open');
      t.equal(busMaster(t), false, 'bus master');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'with too many files open in the system it is ENFILE, and the device stays free',
    kernel: 'chubb-2.6.11',
    needs: ['edu', 'credentials', 'fork'],
    run(t) {
      const child = t.fork();
      t.result(child.setrlimit('RLIMIT_NOFILE', 100_000), 0, 'setrlimit');
      t.result(child.setuid(1000), 0, 'setuid');
      let result = 0;
      while (result >= 0) result = child.epollCreate1(0);
      t.result(result, -ENFILE, 'epoll_create1, in the end');
      t.result(openDevice(t.edu, child), -ENFILE, 'usr_pci_open');
      child.exitGroup(0);
      t.succeeds(openDevice(t.edu, t.thread), 'usr_pci_open afterwards');
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'the descriptor is neither readable nor writable',
    needs: ['edu'],
    async run(t) {
      const { fd } = new UsrPciCalls(t);
      t.result(await t.thread.read(fd, t.memory(), 4), -EBADF, 'read');
      t.result(await t.thread.write(fd, t.memory(), 4), -EBADF, 'write');
    },
  },
  {
    id: 'U2',
    level: 'syscall',
    title: 'a duplicate keeps the device, the last close lets it go',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const other = t.succeeds(t.thread.dup(device.fd), 'dup');
      device.close();
      t.equal(busMaster(t), true, 'bus master with one left');
      t.result(openDevice(t.edu, t.thread), -EBUSY, 'open with one left');
      t.result(t.thread.close(other), 0, 'close');
      t.equal(busMaster(t), false, 'bus master with none left');
      t.succeeds(openDevice(t.edu, t.thread), 'open with none left');
    },
  },
  {
    id: 'U2',
    level: 'syscall',
    title: 'the end of the process gives the device back and unpins its memory',
    needs: ['edu', 'fork', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      const child = t.fork();
      new UsrPciCalls(t, child).mapped(t.memory(2, PROT_READ | PROT_WRITE, child), 2 * PAGE_SIZE);
      t.ok(t.accounting.pins() > pins, 'the mapping pins memory');
      child.exitGroup(0);
      t.equal(t.accounting.pins(), pins, 'pins after the end');
      t.equal(busMaster(t), false, 'bus master after the end');
      t.succeeds(openDevice(t.edu, t.thread), 'usr_pci_open in the parent');
    },
  },
  {
    id: 'U2',
    level: 'syscall',
    title: 'closing unmaps and unpins what was left mapped',
    needs: ['edu', 'accounting'],
    run(t) {
      const pins = t.accounting.pins();
      const device = new UsrPciCalls(t);
      device.mapped(t.memory(4), 4 * 4096);
      device.mapped(t.memory(1), 100);
      device.close();
      t.equal(t.accounting.pins(), pins, 'pins');
    },
  },
  {
    id: 'U2',
    level: 'syscall',
    title: 'consistent memory lives on until munmap',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { vaddr } = device.consistent();
      t.process.bytes(vaddr, 4096)[7] = 42;
      device.close();
      t.equal(t.process.bytes(vaddr, 4096)[7], 42, 'the byte after close');
      t.result(t.thread.munmap(vaddr, 4096), 0, 'munmap');
      t.throws('EFAULT', 'the memory after munmap', () => t.process.bytes(vaddr, 4096));
    },
  },
];

function busMaster(t: Context): boolean {
  const config = t.kernel.files.readFileSync(`/sys/bus/pci/devices/${t.edu.address}/config`);
  return ((config[PCI_COMMAND] ?? 0) & PCI_COMMAND_MASTER) !== 0;
}
