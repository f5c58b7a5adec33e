import {
  EACCES,
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  ENFILE,
  ENODEV,
  EPERM,
  type EpollEvent,
  ESPIPE,
  ESRCH,
  F_GETFL,
  F_SETFL,
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
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  type SigAction,
  type UserProcess,
  type UserThread,
  type VirtualAddress,
} from '@usrdrv/core';
import { EventPoll } from './epoll.ts';
import type { File } from './file.ts';
import { nanoseconds, type PollRequest, poll } from './poll.ts';
import type { Process } from './process.ts';
import { fdSets, select } from './select.ts';
import type { Steps } from './step.ts';
import { Task } from './task.ts';

const INT_MAX = 0x7fff_ffff;
const MAX_RW_COUNT = 0x7fff_f000;
/** The flags that F_SETFL can change: O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME, FASYNC. */
const SETFL_MASK = 0o2000 | O_NONBLOCK | 0o40000 | 0o1000000 | 0o20000;
const EP_MAX_EVENTS = Math.floor(INT_MAX / 12);

/**
 * One thread of a process, and the system-call table: each call checks its arguments in the kernel's order, then hands
 * over to the kernel code. An argument of a type that no C program can pass fails with the error of the nearest wrong value.
 *
 * A call that sleeps occupies its task. What the thread calls meanwhile gets a task of its own, as from the thread pool
 * of an event loop.
 */
export class Thread implements UserThread {
  readonly process: Process;
  readonly tid: number;
  /** The thread's own task first. */
  readonly tasks: Task[] = [];

  constructor(process: Process, tid: number) {
    this.process = process;
    this.tid = tid;
    this.#addTask(tid);
  }

  open(path: string, flags: number): number {
    return this.#run((task) => this.process.kernel.vfs.open(task, path, flags));
  }

  close(fd: number): number {
    const file = this.process.files.remove(fd);
    if (file === undefined) return -EBADF;
    return this.#run((task) => release(file, task));
  }

  dup(fd: number): number {
    return this.process.files.dup(fd);
  }

  fcntl(fd: number, cmd: number, arg = 0): number {
    const file = this.process.files.get(fd);
    if (file === undefined) return -EBADF;
    if (cmd === F_GETFL) return file.flags & ~O_CLOEXEC;
    if (cmd !== F_SETFL || !Number.isInteger(arg)) return -EINVAL;
    file.flags = (file.flags & ~SETFL_MASK) | (arg & SETFL_MASK);
    return 0;
  }

  lseek(fd: number, offset: number, whence: number): number {
    const file = this.process.files.get(fd);
    if (file === undefined) return -EBADF;
    if (whence !== SEEK_SET && whence !== SEEK_CUR && whence !== SEEK_END) return -EINVAL;
    if (!Number.isSafeInteger(offset)) return -EINVAL;
    return file.ops.llseek === undefined ? -ESPIPE : file.ops.llseek(file, offset, whence);
  }

  read(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    const file = this.process.files.get(fd);
    if (file === undefined || !file.readable) return -EBADF;
    const { read } = file.ops;
    if (read === undefined) return -EINVAL;
    const error = this.#checkBuffer(buf, count);
    if (error < 0) return error;
    return this.#transfer(fd, file, read, buf, count, o);
  }

  write(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    const file = this.process.files.get(fd);
    if (file === undefined || !file.writable) return -EBADF;
    const { write } = file.ops;
    if (write === undefined) return -EINVAL;
    const error = this.#checkBuffer(buf, count);
    if (error < 0) return error;
    return this.#transfer(fd, file, write, buf, count, o);
  }

  poll(fds: readonly PollFd[], timeoutMs: number, o?: Interruptible): MaySleep {
    if (this.process.dead) return -ESRCH;
    if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) return -EINVAL;
    if (!Array.isArray(fds)) return -EFAULT;
    if (fds.length > this.process.rlimits.RLIMIT_NOFILE) return -EINVAL;
    const requests: PollRequest[] = [];
    for (const entry of fds as readonly PollFd[]) {
      if (!isPollFd(entry)) return -EFAULT;
      requests.push({ fd: entry.fd, events: entry.events & 0xffff, revents: 0 });
    }
    const timeout = timeoutMs < 0 ? undefined : nanoseconds(timeoutMs);
    const { clock } = this.process.kernel.machine;
    return this.#sleep(
      (task) => poll(task, clock, requests, timeout),
      o,
      () => {
        for (const [at, { revents }] of requests.entries()) {
          const entry = fds[at] as PollFd | undefined;
          if (entry !== undefined) entry.revents = revents;
        }
      },
    );
  }

  select(sets: FdSets, timeoutMs: number | undefined, o?: Interruptible): MaySleep {
    if (this.process.dead) return -ESRCH;
    if (timeoutMs !== undefined && (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))) return -EINVAL;
    const checked = fdSets(sets);
    if (typeof checked === 'number') return checked;
    const timeout = timeoutMs === undefined ? undefined : nanoseconds(timeoutMs);
    const { clock } = this.process.kernel.machine;
    return this.#sleep(
      (task) => select(task, clock, checked, timeout),
      o,
      (result) => {
        if (result < 0) return;
        for (const { set, ready } of checked) {
          set.clear();
          for (const fd of ready) set.add(fd);
        }
      },
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
    const { files } = this.process;
    const set = files.get(epfd);
    const file = files.get(fd);
    if (set === undefined || file === undefined) return -EBADF;
    const { ops } = set;
    if (!(ops instanceof EventPoll)) return -EINVAL;
    return this.#run((task) => ops.control(task, op, file, fd, event));
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
    return this.#sleep(
      (task) => ops.waitFor(task, clock, events, maxevents, timeout),
      o,
      () => this.process.put(file),
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
    const physical = file.ops.mmap(file, this.#idleTask(), { length: size, prot, flags, offset });
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
    return this.#run((task) => usrPci.open(task, bus, slot, fn, dmaMask, domain));
  }

  usrPciGetConsistent(fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#run((task) => usrPci.getConsistent(task, fd, size, vaddrp, dmaaddrp));
  }

  usrPciMmap(fd: number, mp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#run((task) => usrPci.mmap(task, fd, mp));
  }

  usrPciMunmap(fd: number, mp: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#run((task) => usrPci.munmap(task, fd, mp));
  }

  usrPciIrqVectors(fd: number, min: number, max: number, irqs: VirtualAddress): number {
    const { usrPci } = this.process.kernel;
    return this.#run((task) => usrPci.irqVectors(task, fd, min, max, irqs));
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

  /** P1: the range lies in user space, and is not too long. Whether anything is mapped there shows when it is used. */
  #checkBuffer(buf: VirtualAddress, count: number): number {
    if (typeof buf !== 'bigint') return -EFAULT;
    if (!Number.isInteger(count)) return -EINVAL;
    if (count < 0 || !this.process.mm.accessOk(buf, count)) return -EFAULT;
    // 6.1 cuts what is too long to MAX_RW_COUNT, and reads on.
    return count > INT_MAX && this.process.kernel.profile === 'chubb-2.6.11' ? -EINVAL : 0;
  }

  /**
   * read(2) and write(2) from where they know their file, which they hold until they are over (P8). A restart after a
   * signal is a new call: it does not find a descriptor that has been closed or reused meanwhile.
   */
  #transfer(
    fd: number,
    file: File,
    operation: (file: File, task: Task, buf: VirtualAddress, count: number) => Steps<number>,
    buf: VirtualAddress,
    count: number,
    o: Interruptible | undefined,
  ): MaySleep {
    file.refs++;
    let restarted = false;
    return this.#sleep(
      (task) => {
        if (restarted && this.process.files.get(fd) !== file) return failed(-EBADF);
        restarted = true;
        return operation.call(file.ops, file, task, buf, Math.min(count, MAX_RW_COUNT));
      },
      o,
      () => this.process.put(file),
    );
  }

  /** Runs kernel code that may sleep. `over` is told the result first. */
  #sleep(call: (task: Task) => Steps<number>, o: Interruptible | undefined, over: (result: number) => void): MaySleep {
    const { process } = this;
    const task = this.#idleTask();
    process.enter();
    const done = (result: number): void => {
      over(result);
      process.leave();
    };
    let result: MaySleep = -EINTR;
    try {
      result = process.kernel.machine.scheduler.run(task, () => call(task), abortSignal(o), done);
    } finally {
      // Also where a signal handler throws.
      if (typeof result === 'number') done(result);
    }
    return result;
  }

  /** Runs kernel code that does not sleep. */
  #run(call: (task: Task) => Steps<number>): number {
    const { process } = this;
    if (process.dead) return -ESRCH;
    const task = this.#idleTask();
    process.enter();
    try {
      const result = process.kernel.machine.scheduler.run(task, () => call(task));
      if (typeof result !== 'number') throw new Error('BUG: a system call that never sleeps went to sleep');
      return result;
    } finally {
      process.leave();
    }
  }

  /** A task that is in no call that sleeps. */
  #idleTask(): Task {
    return this.tasks.find((task) => task.resume === undefined) ?? this.#addTask(this.process.kernel.newPid());
  }

  #addTask(tid: number): Task {
    const { kernel } = this.process;
    const task = new Task(tid, this.process, kernel.nextCpu(), kernel.machine.scheduler);
    this.tasks.push(task);
    return task;
  }
}

function* release(file: File, task: Task): Steps<number> {
  yield* file.put(task);
  return 0;
}

function* failed(error: number): Steps<number> {
  return error;
}

/** What calls a sleeping call off; anything that is no AbortSignal never does. */
function abortSignal(o: Interruptible | undefined): AbortSignal | undefined {
  const signal = o?.signal;
  return typeof signal?.addEventListener === 'function' ? signal : undefined;
}

function isPollFd(entry: PollFd | undefined): entry is PollFd {
  if (typeof entry !== 'object' || entry === null || Object.isFrozen(entry)) return false;
  return Number.isInteger(entry.fd) && Number.isInteger(entry.events);
}
