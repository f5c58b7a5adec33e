import { EBUSY, EFAULT, EINVAL, ENOENT, ENOSPC, ENOSYS, O_NONBLOCK, O_RDONLY, virtualAddress } from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at, type Context } from '../context.ts';
import { UsrPciCalls } from '../usr-pci-calls.ts';

/** usr_pci_irq_vectors: interrupt messages, each with an irq file of its own. */
export const usrPciMsiCases: readonly Case[] = [
  {
    id: 'MSI',
    level: 'syscall',
    title: 'the 2005 interface has no vectors: ENOSYS',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      t.result(t.thread.usrPciIrqVectors(fd, 1, 1, t.memory()), -ENOSYS, 'usr_pci_irq_vectors');
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'a vector has an irq file, which counts the messages of the device',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK, vectors(t, new UsrPciCalls(t).fd));
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      await t.edu.raise(1);
      await t.edu.acknowledge(1);
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the count of two messages, the first of which masked');
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'while there are vectors the line is quiet',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    async run(t) {
      const line = t.openIrq(O_NONBLOCK);
      const before = t.taken();
      vectors(t, new UsrPciCalls(t).fd);
      await t.edu.raise(1);
      t.equal(t.taken() - before, 0, 'interrupts taken on the line');
      t.result(t.thread.close(line), 0, 'close');
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'bad and foreign descriptors, and ranges that are none, are EINVAL',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const out = t.memory();
      for (const bad of [-1, 1000, t.openIrq()]) {
        t.result(t.thread.usrPciIrqVectors(bad, 1, 1, out), -EINVAL, `descriptor ${bad}`);
      }
      for (const [min, max] of [
        [0, 1],
        [-1, 1],
        [2, 1],
        [1, -1],
      ] as const) {
        t.result(t.thread.usrPciIrqVectors(fd, min, max, out), -EINVAL, `${min} to ${max} vectors`);
      }
      vectors(t, fd);
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'more than the device has is ENOSPC; as many as it has, of up to so many, are given',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      t.result(t.thread.usrPciIrqVectors(fd, 2, 2, t.memory()), -ENOSPC, 'two of one');
      t.result(t.thread.usrPciIrqVectors(fd, 1, 32, t.memory()), 1, 'up to 32 of one');
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'a second allocation is EBUSY, and so is freeing what is in use',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const none = virtualAddress(0);
      const irq = vectors(t, fd);
      t.result(t.thread.usrPciIrqVectors(fd, 1, 1, t.memory()), -EBUSY, 'allocating again');
      const file = t.openIrq(O_RDONLY, irq);
      t.result(t.thread.usrPciIrqVectors(fd, 0, 0, none), -EBUSY, 'freeing while its file is open');
      t.result(t.thread.close(file), 0, 'close');
      t.result(t.thread.usrPciIrqVectors(fd, 0, 0, none), 0, 'freeing');
      t.result(t.thread.open(t.irqPath(irq), O_RDONLY), -ENOENT, 'opening the file of a vector that is gone');
      vectors(t, fd);
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'numbers that cannot be written are EFAULT, and nothing stays allocated',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      for (const bad of [virtualAddress(0), at(t.edge(), -2)]) {
        t.result(t.thread.usrPciIrqVectors(fd, 1, 1, bad), -EFAULT, `numbers at ${bad.toString(16)}`);
      }
      vectors(t, fd);
    },
  },
  {
    id: 'MSI',
    level: 'syscall',
    title: 'closing the device gives the vectors back',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'msi'],
    async run(t) {
      const device = new UsrPciCalls(t);
      vectors(t, device.fd);
      device.close();
      const line = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.equal(await t.count(line), 1, 'the count on the line, which the device uses again');
      vectors(t, new UsrPciCalls(t).fd);
    },
  },
];

/** Allocates one vector: its interrupt number. */
function vectors(t: Context, fd: number): number {
  const out = t.memory();
  t.result(t.thread.usrPciIrqVectors(fd, 1, 1, out), 1, 'usr_pci_irq_vectors');
  return t.view(out, 4).getInt32(0, true);
}
