import {
  EBADF,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  EMFILE,
  ENFILE,
  EPERM,
  ESPIPE,
  ESRCH,
  F_GETFL,
  F_SETFL,
  O_NONBLOCK,
  O_RDWR,
  O_WRONLY,
  SEEK_CUR,
  SEEK_SET,
  virtualAddress,
} from '@usrdrv/core';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IRQ_FILE, memory, PROFILES, Setup } from './kernel.fixture.ts';
import { Thread } from './syscalls.ts';

const KERNEL_MEMORY = virtualAddress(0xffff_8000_0000_0000n);
const UNMAPPED = virtualAddress(0x1000);

describe.each(PROFILES)('%s', (profile) => {
  test('P1 a bad or unreadable descriptor comes before a bad range, a bad range before a bad length', () => {
    const s = new Setup(profile);
    const fd = s.open(O_WRONLY);
    expect(s.thread.read(99, KERNEL_MEMORY, 2)).toBe(-EBADF);
    expect(s.thread.read(fd, KERNEL_MEMORY, 2)).toBe(-EBADF);
    s.thread.close(fd);
    const readable = s.open();
    expect(s.thread.read(readable, KERNEL_MEMORY, 2)).toBe(-EFAULT);
    expect(s.thread.read(readable, s.buf, 2 ** 52)).toBe(-EFAULT);
    expect(s.thread.read(readable, UNMAPPED, 3)).toBe(-EINVAL);
  });

  test('P1 a length over INT_MAX is refused by 2.6.11, and cut by 6.1', () => {
    const s = new Setup(profile);
    const low = memory(s.thread, virtualAddress(0x10_0000));
    const fd = s.open();
    s.raise();
    expect(s.thread.read(fd, low, 2 ** 31)).toBe(profile === 'chubb-2.6.11' ? -EINVAL : 4);
  });

  test('P3 a read into unmapped memory takes no count', () => {
    const s = new Setup(profile);
    const fd = s.open();
    s.interrupt();
    expect(s.thread.read(fd, UNMAPPED, 4)).toBe(-EFAULT);
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(1);
  });

  test('P7 a write-only descriptor claims the line, cannot be read, and writing is EINVAL', () => {
    const s = new Setup(profile);
    const fd = s.open(O_WRONLY);
    expect(fd).toBe(0);
    expect(s.open()).toBe(-EBUSY);
    expect(s.read(fd)).toBe(-EBADF);
    expect(s.thread.write(fd, s.buf, 4)).toBe(-EINVAL);
  });

  test('P8 dup shares the flags and the count; the line is free after the last close', () => {
    const s = new Setup(profile);
    const fd = s.open();
    const copy = s.thread.dup(fd);
    expect(s.thread.fcntl(fd, F_SETFL, O_NONBLOCK)).toBe(0);
    expect(s.thread.fcntl(copy, F_GETFL)).toSatisfy((flags: number) => (flags & O_NONBLOCK) !== 0);
    s.interrupt();
    expect(s.thread.close(fd)).toBe(0);
    expect(s.open()).toBe(-EBUSY);
    expect(s.read(copy)).toBe(4);
    expect(s.thread.close(copy)).toBe(0);
    expect(s.open()).toBe(0);
  });

  test('P8 a read that sleeps holds the line although its descriptor is closed', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const reading = s.read(fd);
    expect(s.thread.close(fd)).toBe(0);
    expect(s.open()).toBe(-EBUSY);
    s.interrupt();
    // Free as soon as the read is over, before its caller hears of it.
    expect(s.open()).toBe(0);
    expect(await reading).toBe(4);
  });

  test('a call made while another sleeps runs beside it', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const [one, two] = [s.read(fd), s.thread.read(fd, memory(s.thread), 4)];
    expect(await s.sleeps(one)).toBe(true);
    s.interrupt();
    expect(await Promise.race([one, two])).toBe(4);
    s.thread.fcntl(fd, F_SETFL, O_NONBLOCK);
    s.read(fd);
    s.interrupt();
    expect(await Promise.all([one, two])).toEqual([4, 4]);
  });

  test('an abort interrupts a sleeping read as a signal does, and takes no count', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const abort = new AbortController();
    const reading = s.thread.read(fd, s.buf, 4, { signal: abort.signal });
    abort.abort();
    expect(await reading).toBe(-EINTR);
    s.interrupt();
    expect(s.read(fd)).toBe(4);
    expect(await s.thread.read(fd, s.buf, 4, { signal: abort.signal })).toBe(-EINTR);
  });

  test('descriptors are the lowest free ones, up to RLIMIT_NOFILE', () => {
    const s = new Setup(profile);
    expect(s.open(0, '/proc/interrupts')).toBe(0);
    expect(s.open(0, '/proc/interrupts')).toBe(1);
    s.thread.close(0);
    expect(s.thread.dup(1)).toBe(0);
    s.thread.setrlimit('RLIMIT_NOFILE', 2);
    expect(s.thread.dup(1)).toBe(-EMFILE);
    expect(s.open()).toBe(-EMFILE);
    expect(s.thread.epollCreate1(0)).toBe(-EMFILE);
    s.thread.setrlimit('RLIMIT_NOFILE', 3);
    expect(s.open()).toBe(2);
  });

  test('the system file limit is ENFILE, but not for root', () => {
    const s = new Setup(profile);
    s.kernel.fileTable.max = 1;
    expect(s.open(0, '/proc/interrupts')).toBe(0);
    expect(s.open(0, '/proc/interrupts')).toBe(1);
    s.thread.setuid(1000);
    expect(s.open(0, '/proc/interrupts')).toBe(-ENFILE);
    expect(s.thread.epollCreate1(0)).toBe(-ENFILE);
    expect(s.thread.dup(0)).toBe(2);
    for (const fd of [0, 1, 2]) s.thread.close(fd);
    expect(s.open(0, '/proc/interrupts')).toBe(0);
  });

  test('R5 the position moves by 4 in 2.6.11; the fixed file is a stream', () => {
    const s = new Setup(profile);
    const fd = s.open();
    s.interrupt();
    s.read(fd);
    const stream = profile === 'usrdrv-6.1';
    expect(s.thread.lseek(fd, 0, SEEK_CUR)).toBe(stream ? -ESPIPE : 4);
    expect(s.thread.lseek(fd, -1, SEEK_SET)).toBe(stream ? -ESPIPE : -EINVAL);
    expect(s.thread.lseek(fd, 0, 7)).toBe(-EINVAL);
  });

  test('limits and credentials: raising a limit, and taking capabilities back, needs root', () => {
    const s = new Setup(profile);
    expect(s.thread.capset({ CAP_SYS_RAWIO: false })).toBe(0);
    expect(s.open(O_RDWR, '/dev/mem')).toBe(-EPERM);
    expect(s.thread.capset({ CAP_SYS_RAWIO: true })).toBe(0);
    expect(s.thread.setuid(1000)).toBe(0);
    expect(s.thread.capset({ CAP_SYS_RAWIO: true })).toBe(-EPERM);
    expect(s.thread.setuid(0)).toBe(-EPERM);
    expect(s.thread.setrlimit('RLIMIT_NOFILE', 10)).toBe(0);
    expect(s.thread.setrlimit('RLIMIT_NOFILE', 11)).toBe(-EPERM);
  });

  test('a process that has ended makes no calls', () => {
    const s = new Setup(profile);
    const fd = s.open();
    s.thread.exitGroup(0);
    expect(s.open()).toBe(-ESRCH);
    expect(s.read(fd)).toBe(-EBADF);
    expect(s.thread.clone()).toBe(-ESRCH);
    expect(s.thread.fork()).toBe(-ESRCH);
    expect(s.thread.kill(s.kernel.process, 0)).toBe(-ESRCH);
  });

  test('no argument of any type makes a call throw, and whatever was called, nothing is left at the end', async () => {
    await fc.assert(
      fc.asyncProperty(programs, async (program) => {
        const s = new Setup(profile);
        const fd = s.open(O_NONBLOCK);
        s.thread.dup(fd);
        const sleeping: Promise<number>[] = [];
        for (const { call, args } of program) {
          const result: unknown = Reflect.apply(s.thread[call], s.thread, args);
          if (result instanceof Promise) sleeping.push(result);
          else if (result instanceof Thread || call === 'exitGroup') continue;
          else expect(Number.isInteger(result) || typeof result === 'bigint', `${call}: ${String(result)}`).toBe(true);
        }
        s.kernel[Symbol.dispose]();
        expect(s.kernel.processes.size).toBe(0);
        expect(s.kernel.fileTable.count).toBe(0);
        for (const result of await Promise.all(sleeping)) expect(result).toBe(-EINTR);
      }),
      { numRuns: 300 },
    );
  });
});

const anything = fc.oneof(
  fc.constantFrom<unknown>(
    Number.NaN,
    -1,
    0.5,
    2 ** 31,
    2 ** 53,
    -0,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ),
  fc.constantFrom<unknown>(undefined, null, '', 'length', '0', [], {}, new Set(), Symbol('x'), () => 0, true, 0n, -1n),
  fc.constantFrom<unknown>(2n ** 64n, 2n ** 47n, KERNEL_MEMORY, UNMAPPED, IRQ_FILE, '/', 'a'.repeat(5000), '\0'),
  fc.constantFrom<unknown>({ events: 1, data: 0 }, [{ fd: 0, events: 1, revents: 0 }], [null], { read: new Set([0]) }),
  fc.constantFrom<unknown>({ read: new Set(['a']) }, { read: [0] }, Object.freeze([]), { flags: 0, handler: 1 }),
  fc.integer({ min: -5, max: 5 }),
  fc.integer(),
  fc.anything(),
);

/** Calls with arguments of any kind. */
const programs = fc.array(
  fc
    .constantFrom(
      'open',
      'close',
      'dup',
      'fcntl',
      'lseek',
      'read',
      'write',
      'epollCreate1',
      'epollCtl',
      'mmap',
      'munmap',
      'mremap',
      'sigaction',
      'setrlimit',
      'capset',
      'setuid',
      'usrPciOpen',
      'usrPciGetConsistent',
      'usrPciMmap',
      'usrPciMunmap',
      'usrPciIrqVectors',
      'poll',
      'select',
      'epollWait',
      'kill',
      'clone',
      'fork',
      'exitGroup',
    )
    .chain((call) => fc.record({ call: fc.constant(call), args: fc.array(anything, { maxLength: 6 }) })),
  { minLength: 1, maxLength: 20 },
);
