import {
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  EPERM,
  ESRCH,
  POLLIN,
  SA_RESTART,
  SIGINT,
  SIGKILL,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { memory, PROFILES, Setup } from './kernel.fixture.ts';

describe.each(PROFILES)('%s', (profile) => {
  test('P4 a caught signal ends a sleeping read with EINTR, after its handler ran, and takes no count (P3)', async () => {
    const s = new Setup(profile);
    const caught: number[] = [];
    s.thread.sigaction(SIGUSR1, { flags: 0, handler: (signum) => caught.push(signum) });
    const fd = s.open();
    const reading = s.read(fd);
    expect(s.thread.kill(s.kernel.process, SIGUSR1)).toBe(0);
    expect(caught).toEqual([SIGUSR1]);
    expect(await reading).toBe(-EINTR);
    s.interrupt();
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(1);
  });

  test('P4 under SA_RESTART the read sleeps on, and later returns the count', async () => {
    const s = new Setup(profile);
    let caught = 0;
    s.thread.sigaction(SIGUSR1, { flags: SA_RESTART, handler: () => caught++ });
    const fd = s.open();
    const reading = s.read(fd);
    s.thread.kill(s.thread, SIGUSR1);
    expect(caught).toBe(1);
    expect(await s.sleeps(reading)).toBe(true);
    s.interrupt();
    expect(await reading).toBe(4);
    expect(s.count).toBe(1);
  });

  test('P4 a read that restarts is a new call: it finds what its descriptor is by then', async () => {
    const s = new Setup(profile);
    s.thread.sigaction(SIGUSR1, { flags: SA_RESTART, handler: () => {} });
    const fd = s.open();
    const reading = s.read(fd);
    s.thread.close(fd);
    s.thread.kill(s.thread, SIGUSR1);
    expect(s.open()).toBe(fd);
    expect(await reading).toBe(-EBADF);
    const again = s.read(fd);
    s.thread.close(fd);
    expect(s.open(0, '/proc/interrupts')).toBe(fd);
    s.thread.kill(s.thread, SIGUSR1);
    expect(s.open()).toBe(1);
    expect(await again).toBe(4);
    expect(new TextDecoder().decode(s.kernel.process.bytes(s.buf, 4).slice())).toBe('    ');
  });

  test('a handler that throws does so in the caller of the interrupted call, which leaves nothing behind', async () => {
    const s = new Setup(profile);
    s.thread.sigaction(SIGUSR1, {
      flags: 0,
      handler: () => {
        throw new Error('from the handler');
      },
    });
    const fd = s.open();
    const told: unknown[] = [];
    const reading = s.thread.read(fd, s.buf, 4, { onReturn: (result) => result, onThrow: (error) => told.push(error) });
    s.thread.close(fd);
    expect(s.thread.kill(s.thread, SIGUSR1)).toBe(0);
    expect(s.open()).toBe(fd);
    await expect(reading).rejects.toThrow('from the handler');
    expect(told).toEqual([new Error('from the handler')]);
    s.thread.exitGroup(0);
    expect(s.kernel.fileTable.count).toBe(0);
  });

  test('poll, select and epoll_wait end with EINTR also under SA_RESTART', async () => {
    const s = new Setup(profile);
    s.thread.sigaction(SIGUSR1, { flags: SA_RESTART, handler: () => {} });
    const fd = s.open();
    const epfd = s.thread.epollCreate1(0);
    s.thread.epollCtl(epfd, 1, fd, { events: POLLIN, data: 7 });
    const calls = [
      () => s.thread.poll([{ fd, events: POLLIN, revents: 0 }], -1),
      () => s.thread.select({ read: new Set([fd]) }, undefined),
      () => s.thread.epollWait(epfd, [], 1, -1),
    ];
    for (const call of calls) {
      const sleeping = call();
      expect(sleeping).toBeInstanceOf(Promise);
      s.thread.kill(s.thread, SIGUSR1);
      expect(await sleeping).toBe(-EINTR);
    }
  });

  test('a signal interrupts one of several sleeping threads; a named thread gets its own', async () => {
    const s = new Setup(profile);
    s.thread.sigaction(SIGUSR1, { flags: 0, handler: () => {} });
    const other = s.thread.clone();
    if (typeof other === 'number') throw new Error(`clone: ${other}`);
    const fd = s.open();
    const [one, two] = [s.read(fd), other.read(fd, memory(other), 4)];
    s.thread.kill(other, SIGUSR1);
    expect(await two).toBe(-EINTR);
    expect(await s.sleeps(one)).toBe(true);
    s.thread.kill(s.kernel.process, SIGUSR1);
    expect(await one).toBe(-EINTR);
  });

  test('an ignored signal does not wake; a signal without a handler ends the process', async () => {
    const s = new Setup(profile);
    s.thread.sigaction(SIGUSR1, { flags: 0 });
    const fd = s.open();
    const reading = s.read(fd);
    expect(s.thread.kill(s.thread, SIGUSR1)).toBe(0);
    expect(await s.sleeps(reading)).toBe(true);
    expect(s.thread.kill(s.thread, SIGUSR2)).toBe(0);
    expect(s.kernel.process.dead).toBe(true);
    expect(await reading).toBe(-EINTR);
  });

  test('a handler that runs at once may make calls, send signals, and end the process', async () => {
    const s = new Setup(profile);
    const ran: string[] = [];
    s.thread.sigaction(SIGUSR1, {
      flags: 0,
      handler: () => {
        ran.push(`usr1, descriptor ${s.open(0, '/proc/interrupts')}`);
        s.thread.kill(s.thread, SIGUSR2);
        ran.push('usr1 over');
      },
    });
    s.thread.sigaction(SIGUSR2, {
      flags: 0,
      handler: () => {
        ran.push('usr2');
        s.thread.exitGroup(0);
      },
    });
    const fd = s.open();
    const reading = s.read(fd);
    s.thread.kill(s.thread, SIGUSR1);
    expect(ran.sort()).toEqual(['usr1 over', 'usr1, descriptor 1', 'usr2']);
    expect(await reading).toBe(-EINTR);
    expect(s.kernel.fileTable.count).toBe(0);
  });

  test('bad signals, handlers and targets are refused', () => {
    const s = new Setup(profile);
    const handler = (): void => {};
    for (const signum of [0, -1, 65, 1.5, Number.NaN]) {
      expect(s.thread.sigaction(signum, { flags: 0, handler })).toBe(-EINVAL);
    }
    expect(s.thread.sigaction(SIGKILL, { flags: 0, handler })).toBe(-EINVAL);
    expect(Reflect.apply(s.thread.sigaction, s.thread, [SIGINT, undefined])).toBe(-EFAULT);
    expect(s.thread.kill(s.thread, 65)).toBe(-EINVAL);
    expect(s.thread.kill(s.thread, 0)).toBe(0);
    expect(Reflect.apply(s.thread.kill, s.thread, [{ pid: 1 }, SIGTERM])).toBe(-ESRCH);
    expect(s.thread.kill(new Setup(profile).thread, SIGTERM)).toBe(-ESRCH);
    const user = s.kernel.spawn({ uid: 1000 });
    expect(user.thread.kill(s.thread, SIGTERM)).toBe(-EPERM);
    expect(s.kernel.process.dead).toBe(false);
  });
});
