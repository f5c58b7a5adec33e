import {
  EBADF,
  EFAULT,
  EINVAL,
  ENOENT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_RDONLY,
  PAGE_SIZE,
  POLLIN,
  type PollFd,
  PROT_READ,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import { UsrPciCalls } from '../usr-pci-calls.ts';

/** Descriptors that no process has. */
const NO_FDS: readonly unknown[] = [
  -1,
  -2,
  1000,
  2 ** 31,
  -(2 ** 31),
  2 ** 53,
  0.5,
  Number.NaN,
  Infinity,
  '3',
  null,
  {},
  3n,
];
/** What C would not compile as a pointer or a length. */
const NO_INTEGERS: readonly unknown[] = [0.5, Number.NaN, Number.POSITIVE_INFINITY, '4', null, {}];

/** Nothing, of no type. */
const NOT_THERE: unknown = undefined;

/** System calls with values that no C program can pass, and with every wrong one that it can: an error, and nothing has changed. */
export const badInputCases: readonly Case[] = [
  {
    id: 'P1',
    level: 'syscall',
    title: 'every call refuses what is no descriptor with EBADF',
    needs: ['edu'],
    async run(t) {
      const buf = t.memory();
      for (const wrong of NO_FDS) {
        const fd = wrong as number;
        t.result(await t.thread.read(fd, buf, 4), -EBADF, `read of ${String(wrong)}`);
        t.result(await t.thread.write(fd, buf, 4), -EBADF, `write to ${String(wrong)}`);
        t.result(t.thread.close(fd), -EBADF, `close of ${String(wrong)}`);
        t.result(t.thread.dup(fd), -EBADF, `dup of ${String(wrong)}`);
        t.result(t.thread.fcntl(fd, 3), -EBADF, `fcntl of ${String(wrong)}`);
        t.result(t.thread.lseek(fd, 0, 0), -EBADF, `lseek of ${String(wrong)}`);
        t.result(await t.thread.epollWait(fd, [], 1, 0), -EBADF, `epoll_wait on ${String(wrong)}`);
      }
    },
  },
  {
    id: 'P1',
    level: 'syscall',
    title: 'buffers and lengths of the wrong type are EFAULT and EINVAL, and take no count',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_RDONLY);
      await t.edu.raise(1);
      for (const wrong of [0, 4096, '0', null, undefined, {}]) {
        t.result(await t.thread.read(fd, wrong as VirtualAddress, 4), -EFAULT, `buffer ${String(wrong)}`);
      }
      for (const wrong of NO_INTEGERS) {
        t.result(await t.thread.read(fd, t.memory(), wrong as number), -EINVAL, `length ${String(wrong)}`);
      }
      t.result(await t.thread.read(fd, t.memory(), -1), -EFAULT, 'length -1, which is the longest there is');
      t.equal(await t.count(fd), 1, 'the count afterwards');
    },
  },
  {
    id: 'P6',
    level: 'syscall',
    title: 'paths that are none are refused, and claim nothing',
    needs: ['edu'],
    run(t) {
      const path = t.irqPath();
      for (const wrong of ['', `${path}x`, path.replace('irq/', 'irq/0'), '/nowhere/irq']) {
        t.result(t.thread.open(wrong, O_RDONLY), -ENOENT, `open ${wrong}`);
      }
      for (const wrong of [undefined, null, 3, {}]) {
        t.result(t.thread.open(wrong as string, O_RDONLY), -EFAULT, `open ${String(wrong)}`);
      }
      t.openIrq();
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'poll and select refuse what is no list, no set and no time',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const fds = [{ fd, events: POLLIN, revents: 0 }];
      t.result(await t.thread.poll(NOT_THERE as PollFd[], 0), -EFAULT, 'poll of nothing');
      t.result(await t.thread.poll([NOT_THERE as PollFd], 0), -EFAULT, 'poll of an entry that is nothing');
      t.result(await t.thread.poll(fds, Number.NaN), -EINVAL, 'poll for NaN ms');
      t.result((await t.select([fd], Number.NaN)) as number, -EINVAL, 'select for NaN ms');
      for (const wrong of NO_FDS) {
        t.ok(((await t.select([wrong as number])) as number) < 0, `select of ${String(wrong)} is refused`);
      }
    },
  },
  {
    id: 'U1',
    level: 'syscall',
    title: 'buses and masks that are none are refused, and the device stays free',
    needs: ['edu'],
    run(t) {
      const { slot, function: fn, bus } = t.edu.address;
      for (const wrong of [-1, 256, 2 ** 32, 0.5, Number.NaN, '0', null]) {
        t.result(t.thread.usrPciOpen(wrong as number, slot, fn, 0n), -ENOENT, `bus ${String(wrong)}`);
      }
      for (const wrong of [0.5, Number.NaN, '1', null, {}]) {
        t.ok(t.thread.usrPciOpen(bus, slot, fn, wrong as bigint) < 0, `mask ${String(wrong)} is refused`);
      }
      new UsrPciCalls(t).close();
    },
  },
  {
    id: 'U3',
    level: 'syscall',
    title: 'sizes and pointers of the wrong type are EINVAL and EFAULT',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const out = t.memory();
      for (const wrong of NO_FDS) {
        const result = t.thread.usrPciGetConsistent(wrong as number, PAGE_SIZE, out, out);
        t.result(result, -EINVAL, `descriptor ${String(wrong)}`);
      }
      for (const wrong of NO_INTEGERS) {
        const result = t.thread.usrPciGetConsistent(fd, wrong as number, out, out);
        t.result(result, -EINVAL, `size ${String(wrong)}`);
      }
      for (const wrong of [0, '0', null, undefined, {}]) {
        const result = t.thread.usrPciGetConsistent(fd, PAGE_SIZE, wrong as VirtualAddress, out);
        t.result(result, -EFAULT, `vaddrp ${String(wrong)}`);
      }
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'descriptors and pointers of the wrong type are EINVAL and EFAULT, also for usr_pci_munmap (U5)',
    needs: ['edu'],
    run(t) {
      const { fd } = new UsrPciCalls(t);
      const { thread } = t;
      for (const call of [thread.usrPciMmap, thread.usrPciMunmap]) {
        for (const wrong of NO_FDS) {
          const result = call.call(thread, wrong as number, virtualAddress(0));
          t.result(result, -EINVAL, `${call.name} of descriptor ${String(wrong)}`);
        }
        for (const wrong of [0, '0', null, undefined, {}]) {
          t.result(call.call(thread, fd, wrong as VirtualAddress), -EFAULT, `${call.name} at ${String(wrong)}`);
        }
      }
    },
  },
  {
    id: 'U4',
    level: 'syscall',
    title: 'a region that wraps around, or ends outside user space, is EFAULT',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      for (const [region, size] of [
        [(1n << 64n) - 4096n, 8192],
        [(1n << 64n) - 1n, 1],
        [0x7fff_ffff_f000n, 8192],
        [0xffff_8000_0000_0000n, 1],
      ] as const) {
        const { result } = device.map({ region: virtualAddress(region), size });
        t.result(result, -EFAULT, `${size} bytes at ${region.toString(16)}`);
      }
    },
  },
  {
    id: 'M7',
    level: 'syscall',
    title: 'mmap and munmap refuse lengths, flags and addresses that are none, and change nothing',
    run(t) {
      const { thread } = t;
      const flags = MAP_PRIVATE | MAP_ANONYMOUS;
      const none = virtualAddress(0);
      for (const wrong of [0, ...NO_INTEGERS]) {
        t.result(thread.mmap(none, wrong as number, PROT_READ, flags, -1, 0n), -EINVAL, `length ${String(wrong)}`);
      }
      t.result(thread.mmap(none, PAGE_SIZE, PROT_READ, MAP_ANONYMOUS, -1, 0n), -EINVAL, 'neither shared nor private');
      t.result(thread.mmap(none, PAGE_SIZE, PROT_READ, MAP_PRIVATE, -1, 0n), -EBADF, 'a file that is not open');
      const region = t.memory();
      for (const wrong of [0, -1, ...NO_INTEGERS]) {
        t.result(thread.munmap(region, wrong as number), -EINVAL, `munmap of ${String(wrong)} bytes`);
      }
      t.result(thread.munmap(virtualAddress(region + 1n), PAGE_SIZE), -EINVAL, 'munmap of a misaligned address');
      t.equal(t.process.bytes(region, PAGE_SIZE).length, PAGE_SIZE, 'the memory afterwards');
    },
  },
];
