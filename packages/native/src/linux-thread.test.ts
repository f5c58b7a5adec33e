import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EAGAIN,
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSYS,
  ESPIPE,
  F_GETFL,
  F_SETFL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PAGE_SIZE,
  SEEK_END,
  SEEK_SET,
  type VirtualAddress,
} from '@usrdrv/core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { at, hostKernel, mapPages, NULL, sleepsOn, test } from './addon.fixture.ts';
import { addon } from './addon.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usrdrv-native-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A pipe with a name, which opens at both ends at once. */
function fifo(name: string): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

/** The other end of a pseudo-terminal, raw. */
function openSlave(master: number): number {
  const [TIOCSPTLCK, TIOCGPTN] = [0x4004_5431, 0x8004_5430];
  const int = new Int32Array(1);
  const bytes = new Uint8Array(int.buffer);
  addon().ioctl(master, TIOCSPTLCK, bytes);
  addon().ioctl(master, TIOCGPTN, bytes);
  const path = `/dev/pts/${int[0]}`;
  execFileSync('stty', ['-F', path, 'raw', '-echo']);
  return openSync(path, 'r+');
}

describe('files', () => {
  test('reads, writes and seeks as the kernel does, at once', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const path = join(folder, 'file');
    writeFileSync(path, 'hello, world');
    const buf = mapPages(kernel);
    const fd = thread.open(path, O_RDWR);
    expect(thread.read(fd, buf, 5)).toBe(5);
    expect(new TextDecoder().decode(kernel.process.bytes(buf, 5))).toBe('hello');
    expect(thread.lseek(fd, 0, SEEK_END)).toBe(12);
    expect(thread.read(fd, buf, 5)).toBe(0);
    expect(thread.lseek(fd, 7, SEEK_SET)).toBe(7);
    kernel.process.bytes(buf, 5).set(new TextEncoder().encode('Linux'));
    expect(thread.write(fd, buf, 5)).toBe(5);
    expect(readFileSync(path, 'utf8')).toBe('hello, Linux');
    expect(thread.close(fd)).toBe(0);
    expect(thread.close(fd)).toBe(-EBADF);
  });

  test('paths, flags and descriptors that are none are refused', () => {
    const { thread } = hostKernel().process;
    expect(thread.open('/nowhere/file', O_RDONLY)).toBe(-ENOENT);
    expect(thread.open('', O_RDONLY)).toBe(-ENOENT);
    expect(thread.open('/dev/null\0', O_RDONLY)).toBe(-ENOENT);
    expect(thread.open(folder, O_WRONLY)).toBe(-EISDIR);
    for (const path of [undefined, null, 3, {}] as string[]) expect(thread.open(path, O_RDONLY)).toBe(-EFAULT);
    for (const flags of [0.5, Number.NaN, '0', null] as number[]) expect(thread.open('/', flags)).toBe(-EINVAL);
    for (const fd of [-1, 1000, 2 ** 31, 0.5, Number.NaN, '3', null, {}, 3n] as number[]) {
      expect(thread.read(fd, NULL, 4)).toBe(-EBADF);
      expect(thread.write(fd, NULL, 4)).toBe(-EBADF);
      expect(thread.close(fd)).toBe(-EBADF);
      expect(thread.dup(fd)).toBe(-EBADF);
      expect(thread.fcntl(fd, F_GETFL)).toBe(-EBADF);
      expect(thread.lseek(fd, 0, SEEK_SET)).toBe(-EBADF);
    }
  });

  test('descriptors that were not opened here are not there: Node’s own stay whole', () => {
    const { thread } = hostKernel().process;
    const node = openSync('/dev/null', 'r');
    for (let fd = 0; fd <= node; fd++) {
      expect(thread.close(fd)).toBe(-EBADF);
      expect(thread.dup(fd)).toBe(-EBADF);
      expect(thread.fcntl(fd, F_SETFL, O_NONBLOCK)).toBe(-EBADF);
    }
    closeSync(node);
  });

  test('buffers and counts: EFAULT, EINVAL, and what the kernel says of a count below 0', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open('/dev/zero', O_RDONLY);
    const buf = mapPages(kernel);
    for (const wrong of [0, 4096, '0', null, undefined, {}]) {
      expect(thread.read(fd, wrong as VirtualAddress, 4)).toBe(-EFAULT);
    }
    for (const wrong of [0.5, Number.NaN, Number.POSITIVE_INFINITY, '4', null, {}]) {
      expect(thread.read(fd, buf, wrong as number)).toBe(-EINVAL);
    }
    expect(thread.read(fd, buf, -1)).toBe(-EFAULT);
    expect(thread.read(fd, buf, 0)).toBe(0);
    expect(thread.read(fd, at(buf, PAGE_SIZE - 4), 4)).toBe(4);
    thread.close(fd);
    // A file that has an opinion of reads of nothing.
    for (const flags of [0, O_NONBLOCK]) {
      const counter = addon().eventfd(0, flags);
      expect(thread.read(counter, buf, 0)).toBe(-EINVAL);
      thread.close(counter);
    }
  });

  test('dup shares the file; fcntl reads and sets its flags', () => {
    const { thread } = hostKernel().process;
    const fd = thread.open('/dev/zero', O_RDWR);
    const other = thread.dup(fd);
    expect(other).not.toBe(fd);
    expect(thread.fcntl(fd, F_SETFL, O_NONBLOCK)).toBe(0);
    expect(thread.fcntl(other, F_GETFL) & O_NONBLOCK).toBe(O_NONBLOCK);
    expect(thread.fcntl(fd, 1234)).toBe(-EINVAL);
    expect(thread.close(fd)).toBe(0);
    expect(thread.close(other)).toBe(0);
  });

  test('what the kernel here cannot do is ENOSYS', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    expect(kernel.supports).toMatchObject({ threads: false, fork: false, signals: false, credentials: false });
    expect(thread.usrPciOpen(0, 0, 0, 0n)).toBe(-ENOSYS);
    for (const result of [thread.clone(), thread.fork(), thread.sigaction(), thread.kill(), thread.setuid()]) {
      expect(result).toBe(-ENOSYS);
    }
    expect(thread.tid).toBeGreaterThan(0);
    expect(kernel.process.comm.length).toBeGreaterThan(0);
  });
});

describe('reads that sleep', () => {
  test('the event loop goes on, and the result comes when there is one', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open(fifo('sleep'), O_RDWR);
    const buf = mapPages(kernel);
    const call = thread.read(fd, buf, 8);
    expect(await sleepsOn(call)).toBe(true);
    kernel.process.bytes(buf, PAGE_SIZE)[100] = 42;
    expect(await thread.write(fd, at(buf, 100), 1)).toBe(1);
    expect(await call).toBe(1);
    expect(kernel.process.bytes(buf, 1)[0]).toBe(42);
    thread.close(fd);
  });

  test('O_NONBLOCK never sleeps', () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open(fifo('nonblock'), O_RDWR | O_NONBLOCK);
    expect(thread.read(fd, mapPages(kernel), 8)).toBe(-EAGAIN);
    expect(thread.lseek(fd, 0, SEEK_SET)).toBe(-ESPIPE);
    thread.close(fd);
  });

  test('an abort is EINTR and consumes nothing (P3), also one that came before the call', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open(fifo('abort'), O_RDWR);
    const buf = mapPages(kernel);
    const abort = new AbortController();
    const calls = [1, 2, 3].map(() => thread.read(fd, buf, 8, { signal: abort.signal }));
    expect(await sleepsOn(calls[0])).toBe(true);
    abort.abort();
    expect(await Promise.all(calls)).toEqual([-EINTR, -EINTR, -EINTR]);
    expect(await thread.read(fd, buf, 8, { signal: abort.signal })).toBe(-EINTR);
    expect(await thread.write(fd, buf, 2)).toBe(2);
    expect(await thread.read(fd, buf, 8)).toBe(2);
    thread.close(fd);
  });

  test('a read that sleeps holds the file: close does not end it (P8)', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const path = fifo('hold');
    const fd = thread.open(path, O_RDWR);
    const buf = mapPages(kernel);
    const call = thread.read(fd, buf, 8);
    expect(thread.close(fd)).toBe(0);
    expect(await sleepsOn(call)).toBe(true);
    const writer = openSync(path, 'w');
    writeSync(writer, 'x');
    expect(await call).toBe(1);
    closeSync(writer);
  });

  test('a read whose buffer is unmapped while it sleeps is EFAULT, and nobody else’s memory is written to', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open(fifo('unmap'), O_RDWR);
    const [buf, source] = [mapPages(kernel), mapPages(kernel)];
    kernel.process.bytes(buf, PAGE_SIZE);
    const call = thread.read(fd, buf, 8);
    expect(await sleepsOn(call)).toBe(true);
    thread.munmap(buf, PAGE_SIZE);
    const others = Array.from({ length: 16 }, () => mapPages(kernel));
    expect(await thread.write(fd, source, 8)).toBe(8);
    expect(await call).toBe(-EFAULT);
    expect(others).not.toContain(buf);
    thread.close(fd);
  });

  test('two hundred at once', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open(fifo('many'), O_RDWR);
    const buf = mapPages(kernel);
    const calls = Array.from({ length: 200 }, (_, index) => thread.read(fd, at(buf, index), 1));
    expect(await sleepsOn(Promise.race(calls))).toBe(true);
    expect(await thread.write(fd, at(buf, 1000), 200)).toBe(200);
    expect(await Promise.all(calls)).toEqual(new Array(200).fill(1));
    thread.close(fd);
  });

  test('no thread sleeps for them', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const [fd, terminal] = [thread.open(fifo('threads'), O_RDWR), thread.open('/dev/ptmx', O_RDWR)];
    const buf = mapPages(kernel);
    const before = readdirSync('/proc/self/task').length;
    const abort = new AbortController();
    const calls = [fd, fd, terminal].map((each) => thread.read(each, buf, 8, { signal: abort.signal }));
    expect(await sleepsOn(Promise.race(calls))).toBe(true);
    expect(readdirSync('/proc/self/task')).toHaveLength(before);
    abort.abort();
    expect(await Promise.all(calls)).toEqual([-EINTR, -EINTR, -EINTR]);
    for (const each of [fd, terminal]) thread.close(each);
  });

  test('of a device that does not know RWF_NOWAIT: one of two gets what there is, and the flags stay', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const master = thread.open('/dev/ptmx', O_RDWR);
    const buf = mapPages(kernel);
    const slave = openSlave(master);
    const flags = thread.fcntl(master, F_GETFL);
    const calls = [thread.read(master, buf, 1), thread.read(master, at(buf, 1), 8)];
    expect(await sleepsOn(Promise.race(calls))).toBe(true);
    writeSync(slave, 'x');
    expect(await calls[0]).toBe(1);
    expect(await sleepsOn(calls[1])).toBe(true);
    expect(thread.fcntl(master, F_GETFL)).toBe(flags);
    writeSync(slave, 'yz');
    expect(await calls[1]).toBe(2);
    expect(new TextDecoder().decode(kernel.process.bytes(buf, 3))).toBe('xyz');
    thread.munmap(buf, PAGE_SIZE);
    const third = mapPages(kernel);
    const unmapped = thread.read(master, third, 8);
    thread.munmap(third, PAGE_SIZE);
    writeSync(slave, 'x');
    expect(await unmapped).toBe(-EFAULT);
    closeSync(slave);
    thread.close(master);
  });

  test('the end of a pipe is 0 to who sleeps', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const path = fifo('end');
    const both = openSync(path, 'r+');
    const fd = thread.open(path, O_RDONLY);
    const call = thread.read(fd, mapPages(kernel), 8);
    expect(await sleepsOn(call)).toBe(true);
    closeSync(both);
    expect(await call).toBe(0);
    thread.close(fd);
  });

  test('a file of procfs that cannot be polled is read all the same', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const fd = thread.open('/proc/self/status', O_RDONLY);
    expect(await thread.read(fd, mapPages(kernel), 64)).toBe(64);
    thread.close(fd);
  });
});

describe('writes that sleep', () => {
  test('go on when there is room, and an abort is EINTR', async () => {
    const kernel = hostKernel();
    const { thread } = kernel.process;
    const buf = mapPages(kernel);
    const fd = addon().eventfd(1, 0);
    const value = new DataView(kernel.process.bytes(buf, 8).buffer);
    value.setBigUint64(0, (1n << 64n) - 2n, true);
    const abort = new AbortController();
    const aborted = thread.write(fd, buf, 8, { signal: abort.signal });
    const call = thread.write(fd, buf, 8);
    expect(await sleepsOn(Promise.race([call, aborted]))).toBe(true);
    abort.abort();
    expect(await aborted).toBe(-EINTR);
    expect(await thread.read(fd, at(buf, 8), 8)).toBe(8);
    expect(await call).toBe(8);
    thread.close(fd);
  });
});
