import {
  type EpollEvent,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  type MaySleep,
  O_RDONLY,
  PAGE_SIZE,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { FileOperations } from '../kernel/file.ts';
import type { Thread } from '../kernel/syscalls.ts';
import { TASK_RUNNING, type Task } from '../kernel/task.ts';
import type { Actor } from './actor.ts';

/** A thread of a scenario: its system calls, made with buffers of its own. */
export class ExploredThread {
  /** A page of memory. */
  readonly buf: VirtualAddress;
  readonly #values: Int32Array;
  /** What its reads gave, in order: the count that was read, or -errno. */
  readonly results: number[] = [];
  /** The file that it reads from now; null where there is none, undefined in no read. */
  reading: FileOperations | null | undefined = undefined;

  constructor(
    readonly thread: Thread,
    readonly task: Task,
    readonly actor: Actor,
  ) {
    const prot = PROT_READ | PROT_WRITE;
    const buf = thread.mmap(virtualAddress(0), PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (typeof buf === 'number') throw new Error(`mmap: ${buf}`);
    this.buf = buf;
    const bytes = thread.process.bytes(buf, PAGE_SIZE);
    this.#values = new Int32Array(bytes.buffer, bytes.byteOffset, 1);
  }

  get name(): string {
    return this.actor.name;
  }

  /** The count that the last read put into memory. */
  get value(): number {
    return this.#values[0] ?? 0;
  }

  reset(): void {
    // To set the length of an array takes longer than to empty a short one.
    while (this.results.length > 0) this.results.pop();
    this.reading = undefined;
    this.task.state = TASK_RUNNING;
    this.task.signalPending = false;
  }

  /** A signal with a handler: in user space the handler runs at once; a system call that sleeps ends. */
  signal(): void {
    if (this.actor.call !== undefined) this.task.signal();
  }

  /** Any system call. */
  call(make: (thread: Thread) => MaySleep): MaySleep {
    this.actor.plain = false;
    return make(this.thread);
  }

  open(path: string, flags = O_RDONLY): MaySleep {
    return this.call((thread) => thread.open(path, flags));
  }

  close(fd: number): MaySleep {
    return this.call((thread) => thread.close(fd));
  }

  /** read(2) of an irq file. */
  read(fd: number, buf = this.buf): MaySleep {
    this.actor.plain = true;
    this.reading = this.thread.process.files.get(fd)?.ops ?? null;
    return this.thread.read(fd, buf, 4);
  }

  poll(fds: readonly PollFd[], timeoutMs = -1): MaySleep {
    this.actor.plain = timeoutMs < 0;
    return this.thread.poll(fds, timeoutMs);
  }

  epollCtl(epfd: number, op: number, fd: number, event: EpollEvent): MaySleep {
    return this.call((thread) => thread.epollCtl(epfd, op, fd, event));
  }

  epollWait(epfd: number, events: EpollEvent[], timeoutMs = -1): MaySleep {
    return this.call((thread) => thread.epollWait(epfd, events, 8, timeoutMs));
  }
}
