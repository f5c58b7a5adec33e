import {
  EAGAIN,
  EBUSY,
  EISDIR,
  ENODEV,
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  type EpollEvent,
  ESPIPE,
  F_SETFL,
  O_NONBLOCK,
  O_RDONLY,
  POLLIN,
  SEEK_CUR,
} from '@usrdrv/core';
import type { LineBench, Settles } from '../bench.ts';
import type { Case } from '../case.ts';
import type { Context, Sleeper } from '../context.ts';
import { openDevice } from '../usr-pci-calls.ts';
import { masked } from './poll.ts';

const SCHEDULE = 'only some interleavings of two processors show it: no sequence of calls does';

/** D1 to D14: the defects of the irq file of 2005, and that they have gone. */
export const irqDefectCases: readonly Case[] = [
  { id: 'D1', level: 'syscall', title: 'two readers take the same count', kernel: 'chubb-2.6.11', never: SCHEDULE },
  { id: 'D1', level: 'syscall', title: 'no two readers take the same count', kernel: 'usrdrv-6.1', never: SCHEDULE },
  {
    id: 'D1',
    level: 'syscall',
    title: 'of two sleeping readers one takes the count, the other sleeps on',
    needs: ['lines'],
    async run(t) {
      await leftAsleep(t, t.lines.edge);
    },
  },
  {
    id: 'D2',
    level: 'syscall',
    title: 'two sleep, one takes the count, and nobody unmasks for the other',
    kernel: 'chubb-2.6.11',
    needs: ['lines'],
    async run(t) {
      const { edge } = t.lines;
      const sleeper = await leftAsleep(t, edge);
      await edge.pulse();
      await sleeper.sleepsOn('the other read');
    },
  },
  {
    id: 'D2',
    level: 'syscall',
    title: 'two sleep, one takes the count, and the other unmasks before it sleeps again',
    kernel: 'usrdrv-6.1',
    needs: ['lines'],
    async run(t) {
      const { edge } = t.lines;
      const sleeper = await leftAsleep(t, edge);
      await edge.pulse();
      t.equal(await sleeper.ends(), 1, 'the count of the other read');
    },
  },
  {
    id: 'D2',
    level: 'syscall',
    title: 'two sleep, the level stays asserted, and only one of them hears of it',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    async run(t) {
      const [, other] = await oneOfTwo(t, t.openIrq(), () => t.edu.raise(1));
      await other.sleepsOn('the other read');
      t.equal(t.taken(), 1, 'interrupts taken');
    },
  },
  {
    id: 'D2',
    level: 'syscall',
    title: 'two sleep, the level stays asserted, and it interrupts once for each of them',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      const before = t.taken();
      const [, other] = await oneOfTwo(t, t.openIrq(), () => t.edu.raise(1));
      t.equal(await other.ends(), 1, 'the count of the other read');
      t.equal(t.taken() - before, 2, 'interrupts taken');
    },
  },
  { id: 'D3', level: 'syscall', title: 'an interrupt between check and enable', never: SCHEDULE },
  { id: 'D4', level: 'syscall', title: 'an interrupt between mask and count', never: SCHEDULE },
  { id: 'D5', level: 'syscall', title: 'two enable at once', never: SCHEDULE },
  { id: 'D6', level: 'syscall', title: 'an edge while the handler runs elsewhere', never: SCHEDULE },
  {
    id: 'D7',
    level: 'syscall',
    title: 'a non-blocking read of an asserted level counts it, and says EAGAIN all the same',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      await t.edu.raise(1);
      t.result(await t.count(fd), -EAGAIN, 'the read that unmasks');
      t.equal(await t.count(fd), 1, 'the read after it');
    },
  },
  {
    id: 'D7',
    level: 'syscall',
    title: 'a non-blocking read of an asserted level returns the count',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      await t.edu.raise(1);
      t.equal(await t.countLetThrough(fd), 1, 'the read that unmasks');
    },
  },
  {
    id: 'D8',
    level: 'syscall',
    title: 'with EPOLLET and one read an event, the line stays masked and no event comes again',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      const epoll = edgeTriggered(t, fd);
      await t.edu.raise(1);
      t.equal(await events(t, epoll, 100), 1, 'the first wait');
      t.equal(await t.count(fd), 1, 'the one read');
      await t.edu.acknowledge(1);
      await t.edu.raise(1);
      t.equal(await events(t, epoll, 100), 0, 'the second wait, with an interrupt to report');
    },
  },
  {
    id: 'D8',
    level: 'syscall',
    title: 'with EPOLLET, a reader that reads until EAGAIN misses nothing',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      const epoll = edgeTriggered(t, fd);
      for (let round = 0; round < 3; round++) {
        await t.edu.raise(1);
        t.equal(await events(t, epoll, 100), 1, 'the wait');
        t.equal(await t.count(fd), 1, 'the first read');
        await t.edu.acknowledge(1);
        t.result(await t.count(fd), -EAGAIN, 'the second read');
      }
    },
  },
  {
    id: 'D9',
    level: 'syscall',
    title: 'an edge that was held back at close does not show up at the next open',
    needs: ['lines'],
    async run(t) {
      const { edge } = t.lines;
      const fd = t.openIrq(O_NONBLOCK, edge.irq);
      await edge.pulse();
      await edge.pulse();
      t.equal(await t.count(fd), 1, 'the count of the first edge');
      t.result(t.thread.close(fd), 0, 'close');
      const again = t.openIrq(O_NONBLOCK, edge.irq);
      t.result(await t.count(again), -EAGAIN, 'the first read after opening again');
      await edge.pulse();
      t.equal(await t.count(again), 1, 'the count of the next edge');
    },
  },
  {
    id: 'D9',
    level: 'syscall',
    title: 'an edge that was held back at close is not left to who requests the line next',
    kernel: 'usrdrv-6.1',
    needs: ['lines', 'kernel-driver'],
    async run(t) {
      const { edge } = t.lines;
      const fd = t.openIrq(O_NONBLOCK, edge.irq);
      await edge.pulse();
      await edge.pulse();
      t.result(t.thread.close(fd), 0, 'close');
      let calls = 0;
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId: {}, handler: () => ++calls > 0 }), 0, 'request_irq');
      await edge.lower();
      t.equal(calls, 0, 'handler calls');
    },
  },
  {
    id: 'D10',
    level: 'syscall',
    title: 'the directory of a command called irq takes the place of the file',
    kernel: 'chubb-2.6.11',
    machine: { comm: 'irq' },
    needs: ['edu'],
    async run(t) {
      t.openIrq();
      const fd = t.succeeds(t.thread.open(t.irqPath(), O_RDONLY), 'open of the directory');
      t.result(await t.thread.read(fd, t.memory(), 4), -EISDIR, 'read');
    },
  },
  {
    id: 'D10',
    level: 'syscall',
    title: 'a command called irq leaves the file where it is',
    kernel: 'usrdrv-6.1',
    machine: { comm: 'irq' },
    needs: ['edu'],
    run(t) {
      const fd = t.openIrq();
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'the second open');
      t.result(t.thread.close(fd), 0, 'close');
      t.openIrq();
    },
  },
  {
    id: 'D11',
    level: 'syscall',
    title: 'opening to look, as a recursive grep does, claims the line: that is the interface (P6)',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_RDONLY);
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken for somebody who only looks');
      t.result(t.thread.open(t.irqPath(), O_RDONLY), -EBUSY, 'open by who wants the line');
      t.result(t.thread.close(fd), 0, 'close');
    },
  },
  {
    id: 'D12',
    level: 'syscall',
    title: 'a non-blocking read of a file that somebody else sleeps in returns at once',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const other = t.succeeds(t.thread.dup(fd), 'dup');
      const sleeper = await t.sleeps(t.startCount(fd), 'read');
      t.result(t.thread.fcntl(other, F_SETFL, O_NONBLOCK), 0, 'F_SETFL');
      t.result(await t.count(other), -EAGAIN, 'the non-blocking read');
      await t.edu.raise(1);
      t.equal(await sleeper.ends(), 1, 'the count of the sleeper');
    },
  },
  {
    id: 'D12',
    level: 'syscall',
    title: 'the file is a stream: it has no position',
    needs: ['edu'],
    run(t) {
      t.result(t.thread.lseek(t.openIrq(), 0, SEEK_CUR), -ESPIPE, 'lseek');
    },
  },
  {
    id: 'D13',
    level: 'syscall',
    title: 'a device that is pulled out wakes who sleeps in its irq file, with ENODEV',
    needs: ['edu', 'unplug'],
    async run(t) {
      // The line goes with a function that somebody has open.
      t.succeeds(openDevice(t.edu, t.thread), 'usr_pci_open');
      const fd = t.openIrq();
      const read = await t.sleeps(t.startCount(fd), 'read');
      const poll = await t.sleeps(t.thread.poll([{ fd, events: POLLIN, revents: 0 }], -1), 'poll');
      await t.bench.unplug?.(t.edu.address);
      t.result(await read.ends(), -ENODEV, 'the read');
      t.result(await poll.ends(), 1, 'the poll');
      t.result(await t.count(fd), -ENODEV, 'a read afterwards');
      t.result(t.thread.close(fd), 0, 'close');
    },
  },
  {
    id: 'D14',
    level: 'syscall',
    title: 'the line of a function that no driver ever took has its file',
    needs: ['edu'],
    run(t) {
      t.ok(t.kernel.files.readdirSync(`/proc/irq/${t.edu.irq}`).includes('irq'), 'the directory lists the file');
      t.openIrq();
    },
  },
];

/** Two readers sleep on an edge line, an edge comes, and one of them takes the count. The other one. */
async function leftAsleep(t: Context, edge: LineBench): Promise<Sleeper<number>> {
  const [first, other] = await oneOfTwo(t, t.openIrq(O_RDONLY, edge.irq), () => edge.pulse());
  t.equal(first, 1, 'the count of the one read');
  await other.sleepsOn('the read that got nothing');
  return other;
}

/** Two readers sleep, something interrupts. What the first to return got, and the other one. */
async function oneOfTwo(
  t: Context,
  fd: number,
  interrupt: () => Settles,
): Promise<[count: number, other: Sleeper<number>]> {
  const one = await t.sleeps(t.startCount(fd), 'one read');
  const two = await t.sleeps(t.startCount(fd), 'another read');
  await interrupt();
  const first = Promise.race([
    one.call.then((count): [number, Sleeper<number>] => [count, two]),
    two.call.then((count): [number, Sleeper<number>] => [count, one]),
  ]);
  return t.soon(first, 'one of two reads');
}

function edgeTriggered(t: Context, fd: number): number {
  const epoll = t.succeeds(t.thread.epollCreate1(0), 'epoll_create1');
  const event = { events: EPOLLIN | EPOLLET, data: fd };
  t.result(t.thread.epollCtl(epoll, EPOLL_CTL_ADD, fd, event), 0, 'EPOLL_CTL_ADD');
  return epoll;
}

async function events(t: Context, epoll: number, timeoutMs: number): Promise<number> {
  const events: EpollEvent[] = [];
  return t.soon(t.thread.epollWait(epoll, events, 8, timeoutMs), 'epoll_wait');
}
