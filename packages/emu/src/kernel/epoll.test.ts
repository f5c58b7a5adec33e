import {
  EBADF,
  EEXIST,
  EFAULT,
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
  POLLIN,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { PROFILES, Setup } from './kernel.fixture.ts';

function watching(s: Setup, events: number): { fd: number; epfd: number; events: EpollEvent[] } {
  const fd = s.open();
  const epfd = s.thread.epollCreate1(0);
  expect(s.thread.epollCtl(epfd, EPOLL_CTL_ADD, fd, { events, data: 42 })).toBe(0);
  return { fd, epfd, events: [] };
}

describe.each(PROFILES)('%s', (profile) => {
  test('P14 ADD polls, and so unmasks', () => {
    const s = new Setup(profile);
    const fd = s.open();
    s.interrupt();
    s.read(fd);
    s.raise();
    const epfd = s.thread.epollCreate1(0);
    s.thread.epollCtl(epfd, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: 1 });
    s.lower();
    expect(s.read(fd)).toBe(4);
  });

  test('P14 level-triggered: reports until the count is read, and polls (unmasks) at each wait', () => {
    const s = new Setup(profile);
    const { fd, epfd, events } = watching(s, EPOLLIN);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
    s.raise();
    for (let again = 0; again < 3; again++) {
      expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
      expect(events).toEqual([{ events: POLLIN, data: 42 }]);
    }
    // The line stays asserted: the read takes the count, the next wait unmasks and hears of it again.
    expect(s.read(fd)).toBe(4);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
    s.lower();
    expect(s.read(fd)).toBe(4);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
  });

  test('D8 edge-triggered with one read for each event starves: nobody unmasks', () => {
    const s = new Setup(profile);
    const { fd, epfd, events } = watching(s, EPOLLIN | EPOLLET);
    s.raise();
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
    expect(s.read(fd)).toBe(4);
    // Asserted still, but the line is masked, and an edge-triggered wait does not poll.
    for (let again = 0; again < 3; again++) expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
  });

  test('P14 one-shot: one event, then none until it is re-armed, which polls', () => {
    const s = new Setup(profile);
    const { fd, epfd, events } = watching(s, EPOLLIN | EPOLLONESHOT);
    s.interrupt();
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
    s.read(fd);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
    expect(s.thread.epollCtl(epfd, EPOLL_CTL_MOD, fd, { events: EPOLLIN | EPOLLONESHOT, data: 43 })).toBe(0);
    s.interrupt();
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
    expect(events).toEqual([{ events: POLLIN, data: 43 }]);
  });

  test('epoll_wait sleeps until an interrupt or its timeout, and empties the list it is given', async () => {
    const s = new Setup(profile);
    const { epfd } = watching(s, EPOLLIN);
    const events = [{ events: 1, data: 1 }];
    expect(await s.thread.epollWait(epfd, events, 8, 20)).toBe(0);
    expect(events).toEqual([]);
    expect(s.kernel.clock.now()).toBe(20_000_000n);
    const waiting = s.thread.epollWait(epfd, events, 8, -1);
    s.interrupt();
    expect(await waiting).toBe(1);
  });

  test('maxevents shares the events out in turn', () => {
    const s = new Setup(profile);
    const epfd = s.thread.epollCreate1(0);
    for (const irq of [17, 18, 19]) {
      const fd = s.open(0, `/proc/irq/${irq}/irq`);
      s.thread.epollCtl(epfd, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: irq });
      s.machine.line(irq).raise(s);
    }
    s.machine.kick();
    const seen: number[] = [];
    for (let round = 0; round < 3; round++) {
      const events: EpollEvent[] = [];
      expect(s.thread.epollWait(epfd, events, 1, 0)).toBe(1);
      seen.push(...events.map(({ data }) => data));
    }
    expect(seen.sort()).toEqual([17, 18, 19]);
  });

  test('a closed file leaves the set by itself; while a dup is open it stays', () => {
    const s = new Setup(profile);
    const { fd, epfd, events } = watching(s, EPOLLIN);
    const copy = s.thread.dup(fd);
    s.thread.close(fd);
    s.interrupt();
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(1);
    s.thread.close(copy);
    expect(s.thread.epollWait(epfd, events, 8, 0)).toBe(0);
    expect(s.open()).toBe(fd);
  });

  test('a set can itself be polled, and a sleeping wait holds it', async () => {
    const s = new Setup(profile);
    const { fd, epfd } = watching(s, EPOLLIN);
    const polling = s.thread.poll([{ fd: epfd, events: POLLIN, revents: 0 }], -1);
    const waiting = s.thread.epollWait(epfd, [], 1, -1);
    s.thread.close(epfd);
    s.interrupt();
    expect(await polling).toBe(1);
    expect(await waiting).toBe(1);
    s.thread.close(fd);
    expect(s.kernel.fileTable.count).toBe(0);
  });

  test('the errors of epoll_ctl and epoll_wait', () => {
    const s = new Setup(profile);
    const { fd, epfd, events } = watching(s, EPOLLIN);
    const event = { events: EPOLLIN, data: 0 };
    const text = s.open(0, '/proc/interrupts');
    const control = (...args: unknown[]): unknown => Reflect.apply(s.thread.epollCtl, s.thread, args);
    expect(control(epfd, EPOLL_CTL_ADD, fd, event)).toBe(-EEXIST);
    expect(control(99, EPOLL_CTL_ADD, fd, event)).toBe(-EBADF);
    expect(control(epfd, EPOLL_CTL_ADD, 99, event)).toBe(-EBADF);
    expect(control(fd, EPOLL_CTL_ADD, fd, event)).toBe(-EINVAL);
    expect(control(epfd, EPOLL_CTL_ADD, epfd, event)).toBe(-EINVAL);
    expect(control(epfd, EPOLL_CTL_ADD, text, event)).toBe(-EPERM);
    expect(control(epfd, EPOLL_CTL_MOD, fd)).toBe(-EFAULT);
    expect(control(epfd, EPOLL_CTL_MOD, fd, { events: Number.NaN, data: 0 })).toBe(-EFAULT);
    expect(control(epfd, 9, fd, event)).toBe(-EINVAL);
    expect(control(epfd, EPOLL_CTL_DEL, fd)).toBe(0);
    expect(control(epfd, EPOLL_CTL_DEL, fd)).toBe(-ENOENT);
    expect(control(epfd, EPOLL_CTL_MOD, fd, event)).toBe(-ENOENT);
    const wait = (...args: unknown[]): unknown => Reflect.apply(s.thread.epollWait, s.thread, args);
    for (const maxevents of [0, -1, Number.NaN, 1.5, 2 ** 31]) expect(wait(epfd, events, maxevents, 0)).toBe(-EINVAL);
    expect(wait(epfd, undefined, 1, 0)).toBe(-EFAULT);
    expect(wait(99, events, 1, 0)).toBe(-EBADF);
    expect(wait(fd, events, 1, 0)).toBe(-EINVAL);
    expect(wait(epfd, events, 1, Number.NaN)).toBe(-EINVAL);
    expect(s.thread.epollCreate1(1)).toBe(-EINVAL);
  });
});
