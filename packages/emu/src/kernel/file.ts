import {
  EINVAL,
  O_NONBLOCK,
  type PhysicalAddress,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  type VirtualAddress,
} from '@usrdrv/core';
import { FASYNC } from './fasync.ts';
import type { Step, Steps } from './step.ts';
import type { Task } from './task.ts';
import type { WaitQueueHead } from './wait-queue.ts';

/**
 * What an open file does (struct file_operations), and what it keeps between calls: each open makes an object of its own.
 * The system-call layer has checked the descriptor, the mode and the user range (P1) before it calls; an operation that
 * is absent fails with the error that is named beside it.
 */
export interface FileOperations {
  /** Bytes read, or -errno. Absent: EINVAL. */
  read?(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number>;
  /** Bytes written, or -errno. Absent: EINVAL. */
  write?(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number>;
  /** What the request asks for: a value >= 0, or -errno. `argp` has not been looked at. Absent: ENOTTY. */
  ioctl?(file: File, task: Task, request: number, argp: VirtualAddress): Steps<number>;
  /** The new position, or -errno. Absent: ESPIPE. */
  llseek?(file: File, offset: number, whence: number): number;
  /**
   * The poll mask of now. With a table, every queue that can change it is registered first.
   * Absent: always readable and writable.
   */
  poll?(file: File, task: Task, table: PollTable | undefined): Steps<number>;
  /** Where in physical memory the pages to be mapped are, or -errno. Absent: ENODEV. */
  mmap?(file: File, task: Task, request: MmapRequest): PhysicalAddress | number;
  /** The FASYNC flag changes: whether the file's owner is to get SIGIO. Absent: nobody gets any. */
  fasync?(file: File, on: boolean): void;
  /** The last reference is gone. Absent: nothing to do. */
  release?(file: File, task: Task): Steps<void>;
}

/** Where a poll operation says what to wait for (struct poll_table_struct): `wait` is poll_wait(). */
export interface PollTable {
  wait(head: WaitQueueHead): void;
}

/** A mapping that a process asks a file for: checked, `length` a multiple of the page size. */
export interface MmapRequest {
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  /** A multiple of the page size. */
  readonly offset: bigint;
}

/** An open file (struct file): what descriptors, and calls in progress, refer to. dup and fork share it (P8). */
export class File {
  /** Descriptors and calls that hold it. */
  refs = 1;
  position = 0;
  readonly ops: FileOperations;
  /** The O_ flags of open(2), of which F_SETFL changes some. */
  flags: number;
  /** FMODE_READ and FMODE_WRITE; a usr_pci descriptor has neither (U1), nor has one opened with access mode 3. */
  readable: boolean;
  writable: boolean;
  /** Who gets SIGIO (F_SETOWN). */
  owner: FileOwner | undefined = undefined;
  /** The system's count of open files, which the file is part of. */
  readonly #table: FileTable;
  #watchers: Set<FileWatcher> | undefined = undefined;

  /** Called by {@link FileTable.create}. */
  constructor(ops: FileOperations, flags: number, table: FileTable) {
    this.ops = ops;
    this.flags = flags;
    this.readable = ((flags + 1) & 1) !== 0;
    this.writable = ((flags + 1) & 2) !== 0;
    this.#table = table;
  }

  get nonblocking(): boolean {
    return (this.flags & O_NONBLOCK) !== 0;
  }

  /** Has `watcher` told when the last reference goes. */
  watch(watcher: FileWatcher): void {
    this.#watchers ??= new Set();
    this.#watchers.add(watcher);
  }

  unwatch(watcher: FileWatcher): void {
    this.#watchers?.delete(watcher);
  }

  /** fput(): drops a reference; the last one releases the file, in the context of `task`. 0, as close(2) returns. */
  put(task: Task): Steps<number> {
    return new Put(this, this.#table, task);
  }

  /** The last reference is gone: who watches hears of it. */
  forget(): void {
    if (this.#watchers !== undefined) for (const watcher of this.#watchers) watcher.fileReleased();
    if ((this.flags & FASYNC) !== 0) this.ops.fasync?.(this, false);
  }
}

/** fput() under way. Written out: a generator around the one that releases costs three times as much. */
class Put implements Steps<number> {
  #release: Steps<void> | undefined = undefined;
  #begun = false;

  constructor(
    private readonly file: File,
    private readonly table: FileTable,
    private readonly task: Task,
  ) {}

  next(): IteratorResult<Step, number> {
    const { file } = this;
    if (!this.#begun) {
      this.#begun = true;
      if (--file.refs > 0) return DONE;
      file.forget();
      this.#release = file.ops.release?.(file, this.task);
    }
    const next = this.#release?.next();
    if (next !== undefined && next.done !== true) return next;
    this.table.count--;
    return DONE;
  }

  [Symbol.iterator](): this {
    return this;
  }
}
const DONE: IteratorReturnResult<number> = { done: true, value: 0 };

/** A process that signals about a file go to (struct fown_struct). */
export interface FileOwner {
  readonly pid: number;
  /** Sends a signal from an interrupt: the process takes it when that is over. */
  signal(signum: number): void;
}

/** Who has to forget a file when it goes: an epoll set. */
export interface FileWatcher {
  fileReleased(): void;
}

/** Every open file of the system (files_stat). */
export class FileTable {
  count = 0;
  /** /proc/sys/fs/file-max */
  max: number;

  constructor(max: number) {
    this.max = max;
  }

  /** Whether this process may have another file: else ENFILE. Who has CAP_SYS_ADMIN always may. */
  hasRoom(process: { readonly uid: number }): boolean {
    return this.count < this.max || process.uid === 0;
  }

  /** A new file, with one reference. Whoever calls has asked {@link hasRoom}. */
  create(ops: FileOperations, flags: number): File {
    this.count++;
    return new File(ops, flags, this);
  }
}

/** default_llseek() of a file without a size: for {@link FileOperations.llseek}. */
export function defaultLlseek(file: File, offset: number, whence: number): number {
  let position: number;
  if (whence === SEEK_SET || whence === SEEK_END) position = offset;
  else if (whence === SEEK_CUR) position = file.position + offset;
  else return -EINVAL;
  if (position < 0) return -EINVAL;
  file.position = position;
  return position;
}
