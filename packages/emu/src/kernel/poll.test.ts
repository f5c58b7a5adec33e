import { EBADF, EFAULT, EINVAL, POLLIN, POLLNVAL, POLLOUT, POLLRDNORM } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { PROFILES, Setup } from './kernel.fixture.ts';

const MS = 1_000_000n;

describe.each(PROFILES)('%s', (profile) => {
  test('P10 poll with timeout 0 unmasks, and reports a count without taking it', () => {
    const s = new Setup(profile);
    const fd = s.open();
    s.interrupt();
    s.read(fd);
    const fds = [{ fd, events: POLLIN, revents: 0 }];
    expect(s.thread.poll(fds, 0)).toBe(0);
    expect(s.masked).toBe(false);
    s.interrupt();
    expect(s.thread.poll(fds, 0)).toBe(1);
    expect(fds[0]?.revents).toBe(POLLIN);
    expect(s.thread.poll([{ fd, events: POLLIN | POLLRDNORM, revents: 0 }], 0)).toBe(1);
    expect(s.read(fd)).toBe(4);
  });

  test('poll sleeps for its timeout in virtual time, or until a wake-up', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const fds = [{ fd, events: POLLIN, revents: 99 }];
    expect(await s.thread.poll(fds, 250)).toBe(0);
    expect(fds[0]?.revents).toBe(0);
    expect(s.kernel.clock.now()).toBe(250n * MS);
    const polling = s.thread.poll(fds, 1000);
    s.interrupt();
    expect(await polling).toBe(1);
    expect(s.kernel.clock.now()).toBe(250n * MS);
  });

  test('P10 the pass at the timeout unmasks once more', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const polling = s.thread.poll([{ fd, events: POLLOUT, revents: 0 }], 10);
    s.interrupt();
    s.thread.read(fd, s.buf, 4);
    expect(await polling).toBe(0);
    // 6.1 masks lazily: what shows is that nothing is held back.
    s.interrupt();
    expect(s.read(fd)).toBe(4);
  });

  test('a descriptor that is not open is POLLNVAL, one below 0 is passed over, one closed meanwhile shows at the timeout', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const fds = [
      { fd: 99, events: POLLIN, revents: 0 },
      { fd: -1, events: POLLIN, revents: 5 },
    ];
    expect(s.thread.poll(fds, -1)).toBe(1);
    expect(fds.map(({ revents }) => revents)).toEqual([POLLNVAL, 0]);
    const closed = [{ fd, events: POLLIN, revents: 0 }];
    const polling = s.thread.poll(closed, 5);
    s.thread.close(fd);
    // P8: the poll holds the line.
    expect(s.open()).toBe(-16);
    expect(await polling).toBe(1);
    expect(closed[0]?.revents).toBe(POLLNVAL);
    expect(s.open()).toBe(0);
  });

  test('a file without a poll operation is always ready', () => {
    const s = new Setup(profile);
    const fd = s.open(0, '/proc/interrupts');
    expect(s.thread.poll([{ fd, events: POLLIN, revents: 0 }], -1)).toBe(1);
    expect(s.thread.select({ read: new Set([fd]), write: new Set([fd]), except: new Set([fd]) }, undefined)).toBe(2);
  });

  test('poll refuses what it cannot mean', () => {
    const s = new Setup(profile);
    const poll = (...args: unknown[]): unknown => Reflect.apply(s.thread.poll, s.thread, args);
    expect(poll([], Number.NaN)).toBe(-EINVAL);
    expect(poll([], '0')).toBe(-EINVAL);
    for (const fds of [
      undefined,
      3,
      [null],
      [{ fd: 'a', events: 1, revents: 0 }],
      [Object.freeze({ fd: 0, events: 1 })],
    ]) {
      expect(poll(fds, 0)).toBe(-EFAULT);
    }
    expect(poll(new Array(1025).fill({ fd: -1, events: 0, revents: 0 }), 0)).toBe(-EINVAL);
    expect(poll([], 0)).toBe(0);
  });

  test('P10 select with a timeout of 10 ms, as a main loop has it: 0 and empty sets, then the line', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const read = new Set([fd]);
    expect(await s.thread.select({ read }, 10)).toBe(0);
    expect(read.size).toBe(0);
    expect(s.kernel.clock.now()).toBe(10n * MS);
    read.add(fd);
    const selecting = s.thread.select({ read }, 10);
    s.interrupt();
    expect(await selecting).toBe(1);
    expect([...read]).toEqual([fd]);
  });

  test('select refuses closed descriptors and bad sets, and leaves the sets alone then', () => {
    const s = new Setup(profile);
    const fd = s.open();
    const read = new Set([fd, 9]);
    expect(s.thread.select({ read }, 0)).toBe(-EBADF);
    expect([...read]).toEqual([fd, 9]);
    const select = (...args: unknown[]): unknown => Reflect.apply(s.thread.select, s.thread, args);
    expect(select({ read: new Set([-1]) }, 0)).toBe(-EINVAL);
    expect(select({ read: new Set([1.5]) }, 0)).toBe(-EINVAL);
    expect(select({ read: new Set([1024]) }, 0)).toBe(-EINVAL);
    expect(select({ read: [fd] }, 0)).toBe(-EFAULT);
    expect(select(null, 0)).toBe(-EFAULT);
    expect(select({}, -1)).toBe(-EINVAL);
    expect(select({}, 0)).toBe(0);
  });
});
