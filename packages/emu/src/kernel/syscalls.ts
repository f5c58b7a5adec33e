import {
  EACCES,
  EBADF,
  EFAULT,
  EINVAL,
  ENFILE,
  ENODEV,
  ENOTTY,
  EPERM,
  EPOLL_CTL_DEL,
  type EpollEvent,
  ESRCH,
  F_GETFL,
  F_GETOWN,
  F_SETFL,
  F_SETOWN,
  type FdSets,
  type Interruptible,
  MAP_ANONYMOUS,
  MAP_SHARED,
  type MaySleep,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  PAGE_SIZE,
  type PollFd,
  PROT_WRITE,
  type SigAction,
  type UserProcess,
  type UserThread,
  type VirtualAddress,
} from '@usrdrv/core';
import { EventPoll, isEvent } from './epoll.ts';
import { FASYNC } from './fasync.ts';
import type { File } from './file.ts';
import { nanoseconds, poll, pollRequests } from './poll.ts';
import type { Process } from './process.ts';
import { lseek, readWrite } from './read-write.ts';
import { fdSets, select } from './select.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import { TaskPool } from './task-pool.ts';

const INT_MAX = 0x7fff_ffff;
/** The flags that F_SETFL can change: O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME, FASYNC. */
const SETFL_MASK = 0o2000 | O_NONBLOCK | 0o40000 | 0o1000000 | FASYNC;
const EP_MAX_EVENTS = Math.floor(INT_MAX / 12);

/**
 * One thread of a process, and the system-call table: each call checks its arguments in the kernel's order, then hands
 * over to the kernel code. An argument of a type that no C program can pass fails with the error of the nearest wrong value.
 */
export class Thread implements UserThread {
  readonly process: Process;
  readonly tid: number;
  readonly #pool: TaskPool;

  constructor(process: Process, tid: number) {
    this.process = process;
    this.tid = tid;
    this.#pool = new TaskPool(process, tid);
  }

  /** What runs its calls: its own task first. */
  get tasks(): readonly Task[] {
    return this.#pool.tasks;
  }

  open(path: string, flags: number): number {
    return this.#pool.runNow((task) => this.process.kernel.vfs.open(task, path, flags));
  }

  close(fd: number): number {
    const file = this.process.files.remove(fd);
    if (file === undefined) return -EBADF;
    return this.#pool.runNow((task) => file.put(task));
  }

  dup(fd: number): number {
    return this.process.files.dup(fd);
  }

  fcntl(fd: number, cmd: number, arg = 0): number {
    const file = this.process.files.get(fd);
    if (file === undefined) return -EBADF;
    if (cmd === F_GETFL) return file.flags & ~O_CLOEXEC;
    if (cmd === F_GETOWN) return file.owner?.pid ?? 0;
    if (!Number.isInteger(arg)) return -EINVAL;
    if (cmd === F_SETOWN) return this.#setOwner(file, arg);
    if (cmd !== F_SETFL) return -EINVAL;
    if (((arg ^ file.flags) & FASYNC) !== 0) file.ops.fasync?.(file, (arg & FASYNC) !== 0);
    file.flags = (file.flags & ~SETFL_MASK) | (arg & SETFL_MASK);
    return 0;
  }

  /** f_setown(): a process by its number, 0 for nobody. Groups (numbers below 0) are not modelled. */
  #setOwner(file: File, pid: number): number {
    const owner = [...this.process.kernel.processes].find((each) => each.pid === pid);
    if (owner === undefined && pid !== 0) return -ESRCH;
    file.owner = owner;
    return 0;
  }

  lseek(fd: number, offset: number, whence: number): number {
    return lseek(this.process, fd, offset, whence);
  }

  read(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    return readWrite(this.#pool, 'read', fd, buf, count, o);
  }

  write(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    return readWrite(this.#pool, 'write', fd, buf, count, o);
  }

  ioctl(fd: number, request: number, argp: VirtualAddress, o?: Interruptible): MaySleep {
    const file = this.process.files.get(fd);
    if (file === undefined) return -EBADF;
    if (file.ops.ioctl === undefined || !Number.isInteger(request)) return -ENOTTY;
    if (typeof argp !== 'bigint') return -EFAULT;
    const { ops } = file;
    file.refs++;
    return this.#pool.run(
      {
        start: (task) => ops.ioctl?.(file, task, request, argp) ?? failed(-ENOTTY),
        over: () => this.process.put(file),
      },
      o,
    );
  }

  poll(fds: readonly PollFd[], timeoutMs: number, o?: Interruptible): MaySleep {
    if (this.process.dead) return -ESRCH;
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) return -EINVAL;
    const requests = pollRequests(fds, this.process.rlimits.RLIMIT_NOFILE);
    if (typeof requests === 'number') return requests;
    const timeout = timeoutMs < 0 ? undefined : nanoseconds(timeoutMs);
    const { clock } = this.process.kernel.machine;
    return this.#pool.run(
      {
        start: (task) => poll(task, clock, requests, timeout),
        over() {
          for (const { entry, revents } of requests) entry.revents = revents;
        },
      },
      o,
    );
  }

  select(sets: FdSets, timeoutMs: number | undefined, o?: Interruptible): MaySleep {
    if (this.process.dead) return -ESRCH;
    if (timeoutMs !== undefined && (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))) return -EINVAL;
    const checked = fdSets(sets);
    if (typeof checked === 'number') return checked;
    const timeout = timeoutMs === undefined ? undefined : nanoseconds(timeoutMs);
    const { clock } = this.process.kernel.machine;
    return this.#pool.run(
      {
        start: (task) => select(task, clock, checked, timeout),
        over(result) {
          if (result < 0) return;
          for (const { set, ready } of checked) {
            set.clear();
            for (const fd of ready) set.add(fd);
          }
        },
      },
      o,
    );
  }

  epollCreate1(flags: number): number {
    if (this.process.dead) return -ESRCH;
    if (flags !== 0 && flags !== O_CLOEXEC) return -EINVAL;
    const { files } = this.process;
    const fd = files.unused();
    if (fd < 0) return fd;
    const { fileTable } = this.process.kernel;
    if (!fileTable.hasRoom(this.process)) return -ENFILE;
    files.install(fd, fileTable.create(new EventPoll(), O_RDWR | flags));
    return fd;
  }

  epollCtl(epfd: number, op: number, fd: number, event?: EpollEvent): number {
    if (op !== EPOLL_CTL_DEL && !isEvent(event)) return -EFAULT;
    const { files } = this.process;
    const set = files.get(epfd);
    const file = files.get(fd);
    if (set === undefined || file === undefined) return -EBADF;
    if (file.ops.poll === undefined) return -EPERM;
    const { ops } = set;
    if (!(ops instanceof EventPoll)) return -EINVAL;
    return this.#pool.runNow((task) => ops.control(task, op, file, fd, event));
  }

  epollWait(epfd: number, events: EpollEvent[], maxevents: number, timeoutMs: number, o?: Interruptible): MaySleep {
    if (!Number.isInteger(maxevents) || maxevents <= 0 || maxevents > EP_MAX_EVENTS) return -EINVAL;
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) return -EINVAL;
    if (!Array.isArray(events) || Object.isFrozen(events)) return -EFAULT;
    const file = this.process.files.get(epfd);
    if (file === undefined) return -EBADF;
    const { ops } = file;
    if (!(ops instanceof EventPoll)) return -EINVAL;
    const timeout = timeoutMs < 0 ? undefined : nanoseconds(timeoutMs);
    const { clock } = this.process.kernel.machine;
    events.length = 0;
    file.refs++;
    return this.#pool.run(
      {
        start: (task) => ops.waitFor(task, clock, events, maxevents, timeout),
        over: () => this.process.put(file),
      },
      o,
    );
  }

  mmap(
    addr: VirtualAddress,
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): VirtualAddress | number {
    const { mm, files, dead } = this.process;
    if (dead) return -ESRCH;
    if (typeof addr !== 'bigint' || typeof offset !== 'bigint' || offset < 0n) return -EINVAL;
    if (!Number.isInteger(length) || !Number.isInteger(prot) || !Number.isInteger(flags)) return -EINVAL;
    if (offset % BigInt(PAGE_SIZE) !== 0n) return -EINVAL;
    if ((flags & MAP_ANONYMOUS) !== 0) return mm.mmap(addr, length, prot, flags);
    const file = files.get(fd);
    if (file === undefined) return -EBADF;
    if (length <= 0) return -EINVAL;
    if ((flags & MAP_SHARED) !== 0 && (prot & PROT_WRITE) !== 0 && !file.writable) return -EACCES;
    if (!file.readable) return -EACCES;
    if (file.ops.mmap === undefined) return -ENODEV;
    const size = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    const physical = file.ops.mmap(file, this.#pool.idle(), { length: size, prot, flags, offset });
    return typeof physical === 'number' ? physical : mm.mapDevice(addr, length, prot, flags, Number(physical));
  }

  munmap(addr: VirtualAddress, length: number): number {
    if (this.process.dead) return -ESRCH;
    if (typeof addr !== 'bigint' || !Number.isInteger(length)) return -EINVAL;
    return this.process.mm.munmap(addr, length);
  }

  mremap(addr: VirtualAddress, oldLength: number, newLength: number, flags: number): VirtualAddress | number {
    if (this.process.dead) return -ESRCH;
    if (typeof addr !== 'bigint' || !Number.isInteger(flags)) return -EINVAL;
    if (!Number.isInteger(oldLength) || !Number.isInteger(newLength)) return -EINVAL;
    return this.process.mm.mremap(addr, oldLength, newLength, flags);
  }

  sigaction(signum: number, action: SigAction): number {
    return this.process.signals.setAction(signum, action);
  }

  kill(target: UserProcess | UserThread, signum: number): number {
    const found = this.process.kernel.targetOf(target);
    if (found === undefined) return -ESRCH;
    const { uid } = this.process;
    if (uid !== 0 && uid !== found.process.uid) return -EPERM;
    return found.process.kill(signum, found.thread);
  }

  usrPciOpen(bus: number, slot: number, fn: number, dmaMask: bigint, domain = 0): number {
    const { usrPci } = this.process.kernel;
    return this.#pool.runNow((task) => usrPci.open(task, bus, slot, fn, dmaMask, domain));
  }

  usrPciGetConsistent(fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#pool.runNow((task) => usrPci.getConsistent(task, fd, size, vaddrp, dmaaddrp));
  }

  usrPciMmap(fd: number, mp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#pool.runNow((task) => usrPci.mmap(task, fd, mp));
  }

  usrPciMunmap(fd: number, mp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#pool.runNow((task) => usrPci.munmap(task, fd, mp));
  }

  usrPciIrqVectors(fd: number, min: number, max: number, irqs: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#pool.runNow((task) => usrPci.irqVectors(task, fd, min, max, irqs));
  }

  clone(): Thread | number {
    return this.process.clone();
  }

  fork(): Thread | number {
    const child = this.process.fork();
    return typeof child === 'number' ? child : child.thread;
  }

  exitGroup(_status: number): void {
    this.process.exit();
  }

  setrlimit(resource: 'RLIMIT_NOFILE' | 'RLIMIT_MEMLOCK', limit: number): number {
    return this.process.setrlimit(resource, limit);
  }

  capset(capabilities: { readonly CAP_SYS_RAWIO: boolean }): number {
    if (typeof capabilities !== 'object' || capabilities === null) return -EFAULT;
    return this.process.capset(capabilities.CAP_SYS_RAWIO);
  }

  setuid(uid: number): number {
    return this.process.setuid(uid);
  }
}

function* failed(error: number): Steps<number> {
  return error;
}
