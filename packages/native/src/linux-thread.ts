import {
  EFAULT,
  EINVAL,
  ENOSYS,
  ENOTTY,
  EPOLL_CTL_DEL,
  type EpollEvent,
  F_GETFL,
  type FdSets,
  type Interruptible,
  type MaySleep,
  type PollFd,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Addon } from './addon.ts';
import { irqPath, type KernelInterface } from './kernel-interface.ts';
import type { LinuxProcess } from './linux-process.ts';
import { pollEntries, storeRevents } from './poll-entries.ts';
import { select } from './select.ts';
import { Sleepers } from './sleepers.ts';
import type { UsrPci } from './usr-pci.ts';

/** Where an ioctl's number has the size of what it points to (asm-generic/ioctl.h). */
const IOC_SIZESHIFT = 16;
const IOC_SIZEMASK = 0x3fff;
/** The kernel's own limit of epoll_wait(2). */
const EP_MAX_EVENTS = Math.floor(0x7fff_ffff / 12);
/** As many events as one call fetches. The rest stays ready. */
const EVENTS_AT_ONCE = 256;

/**
 * The calls of this JavaScript thread. A call that may sleep does not hold the event loop up: poll(2) and its like and reads
 * wait in the event loop; a write, and a read of a file that cannot be polled, in a thread of its own.
 *
 * An argument of a type that no C program can pass fails with the error of the nearest wrong value.
 */
export class LinuxThread implements UserThread {
  readonly process: LinuxProcess;
  readonly #addon: Addon;
  readonly #via: KernelInterface;
  readonly #usrPci: UsrPci;
  readonly #sleepers: Sleepers;

  constructor(process: LinuxProcess, addon: Addon, via: KernelInterface, usrPci: UsrPci) {
    this.process = process;
    this.#addon = addon;
    this.#via = via;
    this.#usrPci = usrPci;
    this.#sleepers = new Sleepers(addon);
  }

  get tid(): number {
    return this.process.tid;
  }

  open(path: string, flags: number): number {
    return this.#addon.open(irqPath(this.#via, path), flags);
  }

  close(fd: number): number {
    return this.#addon.close(fd);
  }

  dup(fd: number): number {
    return this.#addon.dup(fd);
  }

  fcntl(fd: number, cmd: number, arg?: number): number {
    return this.#addon.fcntl(fd, cmd, arg);
  }

  lseek(fd: number, offset: number, whence: number): number {
    return this.#addon.lseek(fd, offset, whence);
  }

  read(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    const sleeper = this.#sleepers.next();
    return sleeper.returns(this.#addon.read(fd, buf, count, sleeper.done), o);
  }

  waitForCount(fd: number, bytes: 4 | 8, o?: Interruptible): MaySleep {
    const sleeper = this.#sleepers.next();
    return sleeper.returns(this.#addon.waitForCount(fd, bytes, sleeper.done), o);
  }

  readCount(fd: number, bytes: 4 | 8): number {
    return this.#addon.readCount(fd, bytes);
  }

  write(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep {
    const sleeper = this.#sleepers.next();
    return sleeper.returns(this.#addon.write(fd, buf, count, sleeper.done), o);
  }

  /**
   * As the contract has it, for requests that say how much is behind the pointer (_IOC_SIZE). Where the driver sleeps, the
   * whole JavaScript thread does, and no signal ends it.
   */
  ioctl(fd: number, request: number, argp: VirtualAddress): number {
    if (!Number.isInteger(request)) return -ENOTTY;
    const length = (request >>> IOC_SIZESHIFT) & IOC_SIZEMASK;
    const argument = this.#addon.bytes(argp, length);
    return typeof argument === 'number' ? argument : this.#addon.ioctl(fd, request >>> 0, argument);
  }

  poll(fds: readonly PollFd[], timeoutMs: number, o?: Interruptible): MaySleep {
    const entries = pollEntries(fds);
    if (typeof entries === 'number') return entries;
    const store = (count: number): number => {
      if (count >= 0) storeRevents(fds, entries);
      return count;
    };
    const sleeper = this.#sleepers.next();
    return sleeper.returns(this.#addon.poll(entries, timeoutMs, sleeper.done), o, store);
  }

  select(sets: FdSets, timeoutMs: number | undefined, o?: Interruptible): MaySleep {
    return select(sets, timeoutMs, {
      isOpen: (fd) => this.#addon.fcntl(fd, F_GETFL) >= 0,
      poll: (fds, timeout) => this.poll(fds, timeout, o),
    });
  }

  epollCreate1(flags: number): number {
    return this.#addon.epollCreate1(flags);
  }

  epollCtl(epfd: number, op: number, fd: number, event?: EpollEvent): number {
    if (op === EPOLL_CTL_DEL) return this.#addon.epollCtl(epfd, op, fd, 0, 0);
    if (typeof event !== 'object' || event === null) return -EFAULT;
    return this.#addon.epollCtl(epfd, op, fd, event.events, event.data);
  }

  epollWait(epfd: number, events: EpollEvent[], maxevents: number, timeoutMs: number, o?: Interruptible): MaySleep {
    if (!Number.isInteger(maxevents) || maxevents <= 0 || maxevents > EP_MAX_EVENTS) return -EINVAL;
    if (!Array.isArray(events) || Object.isFrozen(events)) return -EFAULT;
    const ready = new Float64Array(2 * Math.min(maxevents, EVENTS_AT_ONCE));
    const store = (count: number): number => {
      if (count < 0) return count;
      events.length = 0;
      for (let at = 0; at < 2 * count; at += 2) events.push({ events: ready[at] ?? 0, data: ready[at + 1] ?? 0 });
      return count;
    };
    const sleeper = this.#sleepers.next();
    return sleeper.returns(this.#addon.epollWait(epfd, ready, timeoutMs, sleeper.done), o, store);
  }

  mmap(
    addr: VirtualAddress,
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): VirtualAddress | number {
    const result = this.#addon.mmap(addr, length, prot, flags, fd, offset);
    return typeof result === 'bigint' ? virtualAddress(result) : result;
  }

  munmap(addr: VirtualAddress, length: number): number {
    return this.#addon.munmap(addr, length);
  }

  /** ENOSYS: memory that moved would leave its ArrayBuffer behind. */
  mremap(): number {
    return -ENOSYS;
  }

  /** ENOSYS: signals are Node's. */
  sigaction(): number {
    return -ENOSYS;
  }

  /** ENOSYS: signals are Node's. */
  kill(): number {
    return -ENOSYS;
  }

  usrPciOpen(bus: number, slot: number, fn: number, dmaMask: bigint, domain = 0): number {
    return this.#usrPci.open(bus, slot, fn, dmaMask, domain);
  }

  usrPciGetConsistent(fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): number {
    return this.#usrPci.getConsistent(fd, size, vaddrp, dmaaddrp);
  }

  usrPciMmap(fd: number, mp: VirtualAddress): number {
    return this.#usrPci.mmap(fd, mp);
  }

  usrPciMunmap(fd: number, mp: VirtualAddress): number {
    return this.#usrPci.munmap(fd, mp);
  }

  usrPciIrqVectors(fd: number, min: number, max: number, irqs: VirtualAddress): number {
    return this.#usrPci.irqVectors(fd, min, max, irqs);
  }

  /** ENOSYS: a thread that runs JavaScript is a worker, with a kernel of its own. */
  clone(): number {
    return -ENOSYS;
  }

  /** ENOSYS: JavaScript does not survive fork(2). */
  fork(): number {
    return -ENOSYS;
  }

  exitGroup(status: number): void {
    process.exit(Number.isInteger(status) ? status & 0xff : 1);
  }

  /** ENOSYS, as capset and setuid: they are the whole process's. */
  setrlimit(): number {
    return -ENOSYS;
  }

  capset(): number {
    return -ENOSYS;
  }

  setuid(): number {
    return -ENOSYS;
  }
}
