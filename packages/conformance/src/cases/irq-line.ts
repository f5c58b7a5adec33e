import { EAGAIN, F_SETFL, O_NONBLOCK, POLLIN } from '@usrdrv/core';
import type { Case } from '../case.ts';

/** P5, P9 and P11 to P13: when the line is masked. */
export const irqLineCases: readonly Case[] = [
  {
    id: 'P5',
    level: 'syscall',
    title: 'a read that returns a count leaves the line masked',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 0, 'interrupts taken after the read');
    },
  },
  {
    id: 'P5',
    level: 'syscall',
    title: 'the next read that finds none unmasks the line',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      t.result(await t.count(fd), -EAGAIN, 'the read that finds none');
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken after it');
      t.equal(await t.count(fd), 1, 'the second count');
    },
  },
  {
    id: 'P5',
    level: 'syscall',
    title: 'the next poll that finds none unmasks the line',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      t.equal(await t.poll(fd, POLLIN), 0, 'poll');
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken after it');
    },
  },
  {
    id: 'P5',
    level: 'syscall',
    title: 'a poll that finds a count does not unmask',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      const before = t.taken();
      for (let pass = 0; pass < 3; pass++) t.equal(await t.poll(fd, POLLIN), POLLIN, 'poll');
      t.equal(t.taken() - before, 0, 'interrupts taken although the level is still asserted');
    },
  },
  {
    id: 'P9',
    level: 'syscall',
    title: 'the line is unmasked from open until the first interrupt',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken before any read');
      await t.edu.acknowledge(1);
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken after a second one');
      t.equal(await t.count(fd), 1, 'the count');
    },
  },
  {
    id: 'P9',
    level: 'syscall',
    title: 'a level that is asserted already counts 1 before open returns',
    needs: ['edu'],
    async run(t) {
      // A line that rises while nobody has it is not noticed by every I/O APIC: QEMU's looks at it again when it falls.
      const before = t.openIrq();
      await t.edu.raise(1);
      t.result(t.thread.close(before), 0, 'close');
      t.equal(await t.countLetThrough(t.openIrq(O_NONBLOCK)), 1, 'the first read');
    },
  },
  {
    id: 'P11',
    level: 'syscall',
    title: 'EAGAIN, a timeout and a signal leave the line unmasked',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const interrupted = async (): Promise<void> => {
        const abort = new AbortController();
        const read = await t.sleeps(t.thread.read(fd, t.memory(), 4, { signal: abort.signal }), 'read');
        abort.abort();
        await read.ends();
      };
      const nonblocking = async (): Promise<void> => {
        t.thread.fcntl(fd, F_SETFL, O_NONBLOCK);
        t.result(await t.count(fd), -EAGAIN, 'read');
        t.thread.fcntl(fd, F_SETFL, 0);
      };
      const timeout = async (): Promise<void> => t.equal(await t.poll(fd, POLLIN, 5), 0, 'poll');
      for (const wait of [nonblocking, timeout, interrupted]) {
        await wait();
        const before = t.taken();
        await t.edu.raise(1);
        t.equal(t.taken() - before, 1, `interrupts taken after ${wait.name}`);
        t.equal(await t.count(fd), 1, 'the count');
        await t.edu.acknowledge(1);
      }
    },
  },
  {
    id: 'P12',
    level: 'syscall',
    title: 'interrupts that come while the line is masked are not counted',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      for (let round = 0; round < 3; round++) {
        await t.edu.raise(1);
        await t.edu.acknowledge(1);
      }
      t.equal(await t.count(fd), 1, 'the count after three assertions');
      t.result(await t.count(fd), -EAGAIN, 'the next read');
    },
  },
  {
    id: 'P13',
    level: 'syscall',
    title: 'a stuck level gives one count and one interrupt for each read',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const before = t.taken();
      await t.edu.raise(1);
      const rounds = 10;
      for (let round = 0; round < rounds; round++) t.equal(await t.count(fd), 1, 'the count');
      t.equal(t.taken() - before, rounds, 'interrupts taken');
    },
  },
];
