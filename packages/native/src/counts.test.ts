import { EAGAIN, EBADF, EINTR, EINVAL, F_GETFL, O_NONBLOCK } from '@usrdrv/core';
import { describe, expect } from 'vitest';
import { counter, sleepsOn, test } from './addon.fixture.ts';

describe('counts', () => {
  test.for([0, O_NONBLOCK])('a wait for one ends with it, of a file with flags %i', async (flags) => {
    const { thread, fd, add } = counter(flags);
    for (const count of [3n, 1n, 2n ** 40n]) {
      const call = thread.waitForCount(fd, 8);
      expect(await sleepsOn(call)).toBe(true);
      await add(count);
      expect(await call).toBe(Number(count));
    }
    await add(7n);
    expect(await thread.waitForCount(fd, 8)).toBe(7);
    expect(thread.fcntl(fd, F_GETFL) & O_NONBLOCK).toBe(flags);
    thread.close(fd);
  });

  test('who waits with another hears of it once', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const calls = [thread.waitForCount(fd, 8), thread.waitForCount(fd, 8)];
    await add(5n);
    expect(await Promise.race(calls)).toBe(5);
    await add(6n);
    expect((await Promise.all(calls)).sort()).toEqual([5, 6]);
    thread.close(fd);
  });

  test('an abort is EINTR and consumes nothing, and the same signal ends the next wait at once', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const abort = new AbortController();
    const { signal } = abort;
    const calls = [thread.waitForCount(fd, 8, { signal }), thread.waitForCount(fd, 8)];
    abort.abort();
    expect(await calls[0]).toBe(-EINTR);
    expect(await thread.waitForCount(fd, 8, { signal })).toBe(-EINTR);
    await add(4n);
    expect(await calls[1]).toBe(4);
    thread.close(fd);
  });

  test('what onReturn throws is what the promise rejects with', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const onReturn = (count: number): number => {
      throw new Error(`${count} on purpose`);
    };
    const call = thread.waitForCount(fd, 8, { onReturn });
    const next = thread.waitForCount(fd, 8, { onReturn: (count) => count + 1 });
    await add(1n);
    await expect(call).rejects.toThrow('1 on purpose');
    await add(1n);
    expect(await next).toBe(2);
    thread.close(fd);
  });

  test('a wait holds the file: close does not end it (P8)', async () => {
    const { thread, fd, add } = counter(0);
    const other = thread.dup(fd);
    const call = thread.waitForCount(other, 8);
    expect(thread.close(other)).toBe(0);
    expect(await sleepsOn(call)).toBe(true);
    await add(2n);
    expect(await call).toBe(2);
    thread.close(fd);
  });

  test('of a size that the file does not count in, or of none', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    await add(1n);
    expect(await thread.waitForCount(fd, 4)).toBe(-EINVAL);
    expect(thread.readCount(fd, 4)).toBe(-EINVAL);
    expect(thread.readCount(fd, 8)).toBe(1);
    expect(thread.readCount(fd, 8)).toBe(-EAGAIN);
    for (const bytes of [0, 16, 4.5, Number.NaN, '4', null] as 4[]) {
      expect(thread.waitForCount(fd, bytes)).toBe(-EINVAL);
      expect(thread.readCount(fd, bytes)).toBe(-EINVAL);
    }
    thread.close(fd);
    expect(thread.waitForCount(fd, 8)).toBe(-EBADF);
  });
});
