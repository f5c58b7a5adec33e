import {
  EACCES,
  EAGAIN,
  EBADF,
  EBUSY,
  EMFILE,
  ENOENT,
  F_GETFL,
  F_SETFL,
  O_NONBLOCK,
  O_RDONLY,
  SIGKILL,
} from '@usrdrv/core';
import type { Case } from '../case.ts';

/** P6 and P8: who holds the line, and for how long. */
export const irqOpenCases: readonly Case[] = [
  {
    id: 'P6',
    level: 'syscall',
    title: 'the line is claimed under the command name of who opens it, and given back on close',
    needs: ['edu'],
    run(t) {
      // A name that /proc/irq/N has a file of already is marked (D10): there is one called `node`.
      const named = (): boolean => t.interruptsLine().replace(/!$/, '').endsWith(` ${t.process.comm}`);
      const fd = t.openIrq();
      t.ok(named(), `/proc/interrupts names ${t.process.comm}`);
      t.result(t.thread.close(fd), 0, 'close');
      t.ok(!named(), '/proc/interrupts names nobody after close');
      t.openIrq();
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'a second open of the same line is EBUSY',
    needs: ['edu'],
    run(t) {
      t.openIrq();
      for (const flags of [O_RDONLY, O_NONBLOCK]) {
        t.result(t.thread.open(t.irqPath(), flags), -EBUSY, 'the second open');
      }
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'a second open by another process is EBUSY, until the first has gone',
    needs: ['edu', 'fork'],
    run(t) {
      const child = t.fork();
      const fd = t.openIrq();
      t.result(child.open(t.irqPath(), O_RDONLY), -EBUSY, 'open in the child');
      t.result(t.thread.close(fd), 0, 'close');
      t.succeeds(child.open(t.irqPath(), O_RDONLY), 'open in the child after close');
      child.exitGroup(0);
      t.openIrq();
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'a line that a kernel driver holds is EBUSY, shared or not',
    needs: ['edu', 'kernel-driver'],
    run(t) {
      for (const shared of [false, true]) {
        const devId = {};
        const handler = (): boolean => false;
        t.result(t.kernelDriver.requestIrq(t.edu.irq, { shared, devId, handler }), 0, 'request_irq');
        t.result(
          t.thread.open(t.irqPath(), O_RDONLY),
          -EBUSY,
          shared ? 'open beside a sharer' : 'open beside an owner',
        );
        t.kernelDriver.freeIrq(t.edu.irq, devId);
      }
      t.openIrq();
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'a line that does not exist is ENOENT',
    run(t) {
      for (const irq of [9999, -1, 1e21]) t.result(t.thread.open(t.irqPath(irq), O_RDONLY), -ENOENT, `line ${irq}`);
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'only root may open it',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.setuid(1000), 0, 'setuid');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EACCES, 'open by user 1000');
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'an allocation that fails is ENOMEM, and the line stays free',
    needs: ['edu', 'failing-allocations'],
    run(t) {
      const open = (): number => t.thread.open(t.irqPath(), O_RDONLY);
      t.succeeds(
        t.eachAllocationFails('open', open, (fd) => t.thread.close(fd)),
        'open when none fails',
      );
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'with no descriptor left it is EMFILE, and the line stays free',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 0), 0, 'setrlimit');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EMFILE, 'open');
      t.result(t.thread.setrlimit('RLIMIT_NOFILE', 64), 0, 'setrlimit');
      t.openIrq();
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'dup shares the count, and the line is free after the last close',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      const other = t.succeeds(t.thread.dup(fd), 'dup');
      await t.edu.raise(1);
      t.equal(await t.count(other), 1, 'the count by the duplicate');
      await t.edu.acknowledge(1);
      t.result(await t.count(fd), -EAGAIN, 'the count by the first');
      t.result(t.thread.close(fd), 0, 'close');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'open with one left');
      t.result(t.thread.close(other), 0, 'close');
      t.openIrq();
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'dup shares O_NONBLOCK',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const other = t.succeeds(t.thread.dup(fd), 'dup');
      t.result(t.thread.fcntl(fd, F_SETFL, O_NONBLOCK), 0, 'F_SETFL');
      t.equal(t.thread.fcntl(other, F_GETFL) & O_NONBLOCK, O_NONBLOCK, 'O_NONBLOCK of the duplicate');
      t.result(await t.count(other), -EAGAIN, 'read by the duplicate');
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'a child shares the count, and holds the line after the parent closed it',
    needs: ['edu', 'fork'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      const child = t.fork();
      await t.edu.raise(1);
      t.equal(await t.count(fd, child), 1, 'the count in the child');
      await t.edu.acknowledge(1);
      t.result(await t.count(fd), -EAGAIN, 'the count in the parent');
      t.result(t.thread.close(fd), 0, 'close');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'open while the child holds it');
      child.exitGroup(0);
      t.openIrq();
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'a sleeping read holds the line after close, until it returns',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const read = await t.sleeps(t.startCount(fd), 'read');
      t.result(t.thread.close(fd), 0, 'close');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'open while the read sleeps');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
      await t.edu.acknowledge(1);
      t.openIrq();
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'a process that is killed while it sleeps in a read gives the line back',
    needs: ['edu', 'fork', 'signals'],
    async run(t) {
      const child = t.fork();
      const fd = t.succeeds(child.open(t.irqPath(), O_RDONLY), 'open in the child');
      await t.sleeps(t.startCount(fd, child), 'read in the child');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'open while the child sleeps');
      t.result(t.thread.kill(child.process, SIGKILL), 0, 'kill');
      t.openIrq();
    },
  },
  {
    id: 'P8',
    level: 'syscall',
    title: 'threads share descriptors: one takes the count that another one waits for',
    needs: ['edu', 'threads'],
    async run(t) {
      const other = t.thread.clone();
      if (typeof other === 'number') throw new Error(`clone failed with ${other}`);
      const fd = t.openIrq(O_RDONLY);
      const read = await t.sleeps(t.startCount(fd, other), 'read in the other thread');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
      t.result(other.close(fd), 0, 'close in the other thread');
      t.result(t.thread.close(fd), -EBADF, 'close in the first');
    },
  },
];
