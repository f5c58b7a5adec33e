import { setTimeout as delay } from 'node:timers/promises';
import {
  EBADF,
  EEXIST,
  EFAULT,
  EINTR,
  EINVAL,
  EPERM,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  EPOLLONESHOT,
  type EpollEvent,
  O_NONBLOCK,
  O_RDONLY,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  type PollFd,
} from '@usrdrv/core';
import { describe, expect } from 'vitest';
import { hostKernel, mapPages, test } from './addon.fixture.ts';
import { addon } from './addon.ts';

/** An eventfd: readable once `raise` was called, until `take`. */
function bench() {
  const kernel = hostKernel();
  const { thread } = kernel.process;
  const buf = mapPages(kernel);
  const one = new DataView(kernel.process.bytes(buf, 8).buffer);
  const eventfd = () => addon().eventfd(0, O_NONBLOCK);
  const raise = (fd: number) => {
    one.setBigUint64(0, 1n, true);
    return thread.write(fd, buf, 8);
  };
  const take = (fd: number) => thread.read(fd, buf, 8);
  const poll = async (fd: number, timeoutMs: number, events = POLLIN, signal?: AbortSignal) => {
    const fds: PollFd[] = [{ fd, events, revents: 0 }];
    const result = await thread.poll(fds, timeoutMs, signal && { signal });
    return result < 0 ? result : (fds[0]?.revents ?? 0);
  };
  return { kernel, thread, eventfd, raise, take, poll };
}

describe('poll', () => {
  test('says at once what is ready, and waits for what is not', async () => {
    const { thread, eventfd, raise, take, poll } = bench();
    const fd = eventfd();
    expect(thread.poll([{ fd, events: POLLIN, revents: 0 }], 0)).toBe(0);
    const waiting = poll(fd, -1);
    await delay(10);
    raise(fd);
    expect(await waiting).toBe(POLLIN);
    expect(thread.poll([{ fd, events: POLLIN, revents: 0 }], -1)).toBe(1);
    take(fd);
    expect(thread.poll([{ fd, events: POLLIN, revents: 0 }], 0)).toBe(0);
    thread.close(fd);
  });

  test('a thousand rounds lose no wake-up', async () => {
    const { thread, eventfd, raise, take, poll } = bench();
    const fd = eventfd();
    for (let round = 0; round < 1000; round++) {
      const waiting = poll(fd, 5000);
      raise(fd);
      expect(await waiting).toBe(POLLIN);
      expect(take(fd)).toBe(8);
    }
    thread.close(fd);
  });

  test('who waited is told what onReturn makes of the result, once revents are there, or what it throws', async () => {
    const { thread, eventfd, raise } = bench();
    const fd = eventfd();
    const entry: PollFd = { fd, events: POLLIN, revents: 0 };
    const doubled = thread.poll([entry], -1, { onReturn: (ready) => 2 * ready + entry.revents });
    const failed = thread.poll([entry], -1, {
      onReturn: () => {
        throw new Error('from onReturn');
      },
    });
    raise(fd);
    expect(await doubled).toBe(2 + POLLIN);
    await expect(failed).rejects.toThrow('from onReturn');
    // One that does not sleep returns its result.
    expect(thread.poll([entry], -1, { onReturn: () => 99 })).toBe(1);
    thread.close(fd);
  });

  test('several wait for one descriptor, each for its own events and time', async () => {
    const { thread, eventfd, raise, poll } = bench();
    const fd = eventfd();
    const [first, second, brief] = [poll(fd, -1), poll(fd, 5000), poll(fd, 5)];
    expect(await poll(fd, -1, POLLOUT)).toBe(POLLOUT);
    expect(await brief).toBe(0);
    raise(fd);
    expect(await Promise.all([first, second])).toEqual([POLLIN, POLLIN]);
    thread.close(fd);
  });

  test('whoever finds nothing any more waits on', async () => {
    const { thread, eventfd, raise, take, poll } = bench();
    const fd = eventfd();
    const first = poll(fd, -1).then(() => take(fd));
    const second = poll(fd, 50);
    raise(fd);
    expect(await first).toBe(8);
    // It either saw the event before the first took it, or saw none.
    expect([0, POLLIN]).toContain(await second);
    thread.close(fd);
  });

  test('a timeout is never early', async () => {
    const { kernel, thread, eventfd, poll } = bench();
    const fd = eventfd();
    for (const ms of [0.2, 1, 7.5, 20]) {
      const start = kernel.clock.now();
      expect(await poll(fd, ms)).toBe(0);
      expect(Number(kernel.clock.now() - start) / 1e6).toBeGreaterThanOrEqual(ms);
    }
    thread.close(fd);
  });

  test('an abort is EINTR, before the call as during it, and takes its listener along', async () => {
    const { thread, eventfd, raise, poll } = bench();
    const fd = eventfd();
    const abort = new AbortController();
    const waiting = [poll(fd, -1, POLLIN, abort.signal), poll(fd, 5000, POLLIN, abort.signal)];
    const other = poll(fd, -1);
    abort.abort();
    expect(await Promise.all(waiting)).toEqual([-EINTR, -EINTR]);
    expect(await poll(fd, -1, POLLIN, abort.signal)).toBe(-EINTR);
    raise(fd);
    expect(await other).toBe(POLLIN);
    expect(await poll(fd, -1, POLLIN, abort.signal)).toBe(POLLIN);
    thread.close(fd);
  });

  test('who waits holds the file: close does not end it (P8)', async () => {
    const { thread, eventfd, raise, poll } = bench();
    const fd = eventfd();
    const other = thread.dup(fd);
    const waiting = [poll(fd, -1), poll(fd, -1)];
    expect(thread.close(fd)).toBe(0);
    expect(await poll(fd, 0)).toBe(POLLNVAL);
    await delay(5);
    raise(other);
    expect(await Promise.all(waiting)).toEqual([POLLIN, POLLIN]);
    thread.close(other);
  });

  test('a descriptor number that is used again is a new descriptor', async () => {
    const { thread, eventfd, raise, poll } = bench();
    for (let round = 0; round < 20; round++) {
      const fd = eventfd();
      expect(await poll(fd, 1)).toBe(0);
      raise(fd);
      expect(await poll(fd, 100)).toBe(POLLIN);
      thread.close(fd);
    }
  });

  test('passes over descriptors below 0, and says POLLNVAL to what was not opened here', () => {
    const { thread } = bench();
    const fds = [-1, 0, 1, 2 ** 31].map((fd) => ({ fd, events: POLLIN, revents: 0xff }));
    expect(thread.poll(fds, -1)).toBe(3);
    expect(fds.map(({ revents }) => revents)).toEqual([0, POLLNVAL, POLLNVAL, POLLNVAL]);
    expect(thread.poll([], 0)).toBe(0);
  });

  test('refuses what is no list, no entry and no time', () => {
    const { thread } = bench();
    expect(thread.poll([], Number.NaN)).toBe(-EINVAL);
    expect(thread.poll([], 'soon' as never as number)).toBe(-EINVAL);
    for (const fds of [undefined, null, {}, [undefined], [{}], [Object.freeze({ fd: 1, events: 1, revents: 0 })]]) {
      expect(thread.poll(fds as PollFd[], 0)).toBe(-EFAULT);
    }
  });
});

describe('select', () => {
  test('leaves in the sets what is ready, and counts it', async () => {
    const { thread, eventfd, raise } = bench();
    const [quiet, loud] = [eventfd(), eventfd()];
    const sets = { read: new Set([quiet, loud]), write: new Set([loud]) };
    raise(loud);
    expect(thread.select(sets, undefined)).toBe(2);
    expect(sets).toEqual({ read: new Set([loud]), write: new Set([loud]) });
    const empty = { read: new Set([quiet]) };
    expect(await thread.select(empty, 5)).toBe(0);
    expect(empty.read.size).toBe(0);
    thread.close(quiet);
    thread.close(loud);
  });

  test('EBADF and EINVAL leave the sets as they were', async () => {
    const { thread } = bench();
    const closed = { read: new Set([999]) };
    expect(await thread.select(closed, 0)).toBe(-EBADF);
    expect(closed.read).toEqual(new Set([999]));
    for (const fd of [-1, 1024, 0.5]) expect(thread.select({ read: new Set([fd]) }, 0)).toBe(-EINVAL);
    expect(thread.select({}, -1)).toBe(-EINVAL);
    expect(thread.select({ read: [] as never as Set<number> }, 0)).toBe(-EFAULT);
  });
});

describe('epoll', () => {
  test('reports what is ready with its data, level-triggered and one-shot', async () => {
    const { thread, eventfd, raise } = bench();
    const [fd, set] = [eventfd(), thread.epollCreate1(0)];
    const events: EpollEvent[] = [];
    expect(thread.epollCtl(set, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: -1.5 })).toBe(0);
    expect(thread.epollWait(set, events, 8, 0)).toBe(0);
    const waiting = thread.epollWait(set, events, 8, -1);
    raise(fd);
    expect(await waiting).toBe(1);
    expect(events).toEqual([{ events: EPOLLIN, data: -1.5 }]);
    expect(thread.epollWait(set, events, 8, 0)).toBe(1);
    const oneShot = { events: EPOLLIN | EPOLLONESHOT, data: 7 };
    expect(thread.epollCtl(set, EPOLL_CTL_MOD, fd, oneShot)).toBe(0);
    expect(thread.epollWait(set, events, 8, 0)).toBe(1);
    expect(thread.epollWait(set, events, 8, 0)).toBe(0);
    expect(await thread.epollWait(set, events, 8, 5)).toBe(0);
    expect(thread.epollCtl(set, EPOLL_CTL_DEL, fd)).toBe(0);
    thread.close(set);
    thread.close(fd);
  });

  test('refuses what the kernel refuses', () => {
    const { thread, eventfd } = bench();
    const [fd, set] = [eventfd(), thread.epollCreate1(0)];
    const file = thread.open('/proc/self/exe', O_RDONLY);
    const event = { events: EPOLLIN, data: 0 };
    expect(thread.epollCreate1(1)).toBe(-EINVAL);
    expect(thread.epollCtl(set, EPOLL_CTL_ADD, fd)).toBe(-EFAULT);
    expect(thread.epollCtl(set, EPOLL_CTL_ADD, 999, event)).toBe(-EBADF);
    expect(thread.epollCtl(fd, EPOLL_CTL_ADD, fd, event)).toBe(-EINVAL);
    expect(thread.epollCtl(set, EPOLL_CTL_ADD, file, event)).toBe(-EPERM);
    thread.epollCtl(set, EPOLL_CTL_ADD, fd, event);
    expect(thread.epollCtl(set, EPOLL_CTL_ADD, fd, event)).toBe(-EEXIST);
    expect(thread.epollWait(set, [], 0, 0)).toBe(-EINVAL);
    expect(thread.epollWait(set, [], 1, Number.NaN)).toBe(-EINVAL);
    expect(thread.epollWait(set, Object.freeze([]) as never as EpollEvent[], 1, 0)).toBe(-EFAULT);
    expect(thread.epollWait(fd, [], 1, 0)).toBe(-EINVAL);
    for (const each of [fd, set, file]) thread.close(each);
  });
});
