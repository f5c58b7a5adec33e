import {
  EAGAIN,
  EBADF,
  EEXIST,
  EINTR,
  EINVAL,
  ENOENT,
  EPERM,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
  type EpollEvent,
  type MaySleep,
  O_NONBLOCK,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';
import { masked } from './poll.ts';

/** P14: epoll. */
export const epollCases: readonly Case[] = [
  {
    id: 'P14',
    level: 'syscall',
    title: 'adding a descriptor polls it, and so unmasks the line',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN);
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken');
      t.equal(await ready(t, epoll), [fd], 'ready');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'level-triggered, each wait polls again: ready until the count is taken, and unmasking after that',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN);
      await t.edu.raise(1);
      for (let wait = 0; wait < 3; wait++) t.equal(await ready(t, epoll), [fd], 'ready');
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      t.equal(await ready(t, epoll), [], 'ready after the count was taken');
      await t.edu.raise(1);
      t.equal(await ready(t, epoll), [fd], 'ready after the next interrupt');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'edge-triggered, a wait does not poll again: the line stays masked until a read finds none',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN | EPOLLET);
      await t.edu.raise(1);
      t.equal(await ready(t, epoll), [fd], 'the first wait');
      t.equal(await ready(t, epoll), [], 'the second wait, with the count still there');
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      t.equal(await ready(t, epoll), [], 'a wait that unmasks nothing');
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 0, 'interrupts taken');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'one-shot, one event and then none until it is armed again, which polls',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN | EPOLLONESHOT);
      await t.edu.raise(1);
      t.equal(await ready(t, epoll), [fd], 'the first wait');
      t.equal(await ready(t, epoll), [], 'the second wait');
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      t.result(await t.count(fd), -EAGAIN, 'the read that unmasks');
      await t.edu.raise(1);
      t.equal(await ready(t, epoll), [], 'a wait with an interrupt, but not armed');
      t.equal(await t.count(fd), 1, 'its count');
      await t.edu.acknowledge(1);
      t.result(control(t, epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT), 0, 'EPOLL_CTL_MOD');
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken');
      t.equal(await ready(t, epoll), [fd], 'the wait after it was armed again');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'a descriptor that is added while it has a count is never heard of again once that is taken (Q0 before Q3)',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    async run(t) {
      t.equal(await heardAgain(t), [], 'ready after the next interrupt');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'a descriptor that is added while it has a count is woken like any other',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      t.equal((await heardAgain(t)).length, 1, 'ready after the next interrupt');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'a sleeping wait is woken by the interrupt, times out with 0 and is ended by a signal with EINTR',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN);
      t.result(await t.soon(t.thread.epollWait(epoll, [], 8, 20), 'epoll_wait'), 0, 'a wait of 20 ms');
      const abort = new AbortController();
      const called = await t.sleeps(t.thread.epollWait(epoll, [], 8, -1, { signal: abort.signal }), 'epoll_wait');
      abort.abort();
      t.result(await called.ends(), -EINTR, 'the interrupted wait');
      const events: EpollEvent[] = [];
      const wait = await t.sleeps(t.thread.epollWait(epoll, events, 8, -1), 'epoll_wait');
      await t.edu.raise(1);
      t.result(await wait.ends(), 1, 'epoll_wait');
      t.equal([events[0]?.events, events[0]?.data], [EPOLLIN, fd], 'the event');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'closing the last descriptor of the line takes it out of the set; a duplicate keeps it in',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const epoll = watching(t, fd, EPOLLIN);
      const other = t.succeeds(t.thread.dup(fd), 'dup');
      t.result(t.thread.close(fd), 0, 'close');
      await t.edu.raise(1);
      t.equal(await ready(t, epoll), [fd], 'ready after one close');
      t.result(t.thread.close(other), 0, 'close');
      t.equal(await ready(t, epoll), [], 'ready after both');
      t.openIrq();
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'epoll_ctl refuses bad descriptors, operations and double additions',
    needs: ['edu'],
    run(t) {
      const fd = t.openIrq();
      const epoll = t.succeeds(t.thread.epollCreate1(0), 'epoll_create1');
      t.result(control(t, 1000, EPOLL_CTL_ADD, fd), -EBADF, 'a set that is not open');
      t.result(control(t, epoll, EPOLL_CTL_ADD, 1000), -EBADF, 'a target that is not open');
      t.result(control(t, fd, EPOLL_CTL_ADD, epoll), -EINVAL, 'a set that is none');
      t.result(control(t, epoll, EPOLL_CTL_ADD, epoll), -EINVAL, 'a set in itself');
      t.result(control(t, epoll, 99, fd), -EINVAL, 'an unknown operation');
      t.result(control(t, epoll, EPOLL_CTL_MOD, fd), -ENOENT, 'EPOLL_CTL_MOD of what is not in');
      t.result(control(t, epoll, EPOLL_CTL_DEL, fd), -ENOENT, 'EPOLL_CTL_DEL of what is not in');
      t.result(control(t, epoll, EPOLL_CTL_ADD, fd), 0, 'EPOLL_CTL_ADD');
      t.result(control(t, epoll, EPOLL_CTL_ADD, fd), -EEXIST, 'EPOLL_CTL_ADD again');
      t.result(control(t, epoll, EPOLL_CTL_DEL, fd), 0, 'EPOLL_CTL_DEL');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'a PCI descriptor cannot be waited for: EPERM',
    needs: ['edu'],
    run(t) {
      const { bus, slot, function: fn } = t.edu.address;
      const fd = t.succeeds(t.thread.usrPciOpen(bus, slot, fn, 0n), 'usr_pci_open');
      const epoll = t.succeeds(t.thread.epollCreate1(0), 'epoll_create1');
      t.result(control(t, epoll, EPOLL_CTL_ADD, fd), -EPERM, 'EPOLL_CTL_ADD');
    },
  },
  {
    id: 'P14',
    level: 'syscall',
    title: 'epoll_wait refuses room for no event before a bad descriptor, and what is no set',
    needs: ['edu'],
    async run(t) {
      const epoll = t.succeeds(t.thread.epollCreate1(0), 'epoll_create1');
      for (const maxevents of [0, -1]) {
        t.result(await t.thread.epollWait(epoll, [], maxevents, 0), -EINVAL, `maxevents ${maxevents}`);
      }
      t.result(await t.thread.epollWait(1000, [], 0, 0), -EINVAL, 'maxevents 0 of a bad descriptor');
      t.result(await t.thread.epollWait(1000, [], 1, 0), -EBADF, 'a bad descriptor');
      t.result(await t.thread.epollWait(t.openIrq(), [], 1, 0), -EINVAL, 'a descriptor that is no set');
      t.result(t.thread.epollCreate1(1), -EINVAL, 'epoll_create1 with an unknown flag');
    },
  },
];

/** Adds a descriptor that has a count, takes it, waits without time, and interrupts again. What is ready then. */
async function heardAgain(t: Context): Promise<readonly number[]> {
  const fd = t.openIrq(O_NONBLOCK);
  await t.edu.raise(1);
  const epoll = watching(t, fd, EPOLLIN);
  t.equal(await ready(t, epoll), [fd], 'ready at first');
  t.equal(await t.count(fd), 1, 'the count');
  await t.edu.acknowledge(1);
  t.equal(await ready(t, epoll), [], 'ready after the count was taken');
  await t.edu.raise(1);
  return ready(t, epoll);
}

function watching(t: Context, fd: number, events: number): number {
  const epoll = t.succeeds(t.thread.epollCreate1(0), 'epoll_create1');
  t.result(control(t, epoll, EPOLL_CTL_ADD, fd, events), 0, 'EPOLL_CTL_ADD');
  return epoll;
}

function control(t: Context, epoll: number, op: number, fd: number, events = EPOLLIN): number {
  return t.thread.epollCtl(epoll, op, fd, { events, data: fd });
}

/** Which descriptors a wait of no time finds ready. */
async function ready(t: Context, epoll: number): Promise<readonly number[]> {
  const events: EpollEvent[] = [];
  const result: MaySleep = t.thread.epollWait(epoll, events, 8, 0);
  t.result(await t.soon(result, 'epoll_wait'), events.length, 'what epoll_wait returns');
  return events.map(({ data }) => data);
}
