import {
  EINVAL,
  O_ACCMODE,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  type PhysicalAddress,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  type VirtualAddress,
} from '@usrdrv/core';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import type { WaitQueueHead } from './wait-queue.ts';

/**
 * What a file does, as its kernel code says (struct file_operations). The system-call layer has checked the descriptor,
 * the mode and the user range (P1) before it calls; an operation that is absent fails with the error that is named beside it.
 */
export interface FileOperations<P = unknown> {
  /** Bytes read, or -errno. Absent: EINVAL. */
  read?(file: File<P>, task: Task, buf: VirtualAddress, count: number): Steps<number>;
  /** Bytes written, or -errno. Absent: EINVAL. */
  write?(file: File<P>, task: Task, buf: VirtualAddress, count: number): Steps<number>;
  /** The new position, or -errno. Absent: ESPIPE. */
  llseek?(file: File<P>, offset: number, whence: number): number;
  /**
   * The poll mask of now. With a table, every queue that can change it is registered first.
   * Absent: always readable and writable.
   */
  poll?(file: File<P>, task: Task, table: PollTable | undefined): Steps<number>;
  /** Where in physical memory the pages to be mapped are, or -errno. Absent: ENODEV. */
  mmap?(file: File<P>, task: Task, request: MmapRequest): PhysicalAddress | number;
  /** The last reference is gone. */
  release(file: File<P>, task: Task): Steps<void>;
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
export class File<P = unknown> {
  /** Descriptors and calls that hold it. */
  refs = 1;
  position = 0;
  /** FMODE_READ and FMODE_WRITE; a usr_pci descriptor has neither. */
  readable: boolean;
  writable: boolean;
  /** Told when the last reference goes: the epoll sets that watch the file. */
  readonly watchers = new Set<FileWatcher>();

  /**
   * @param ops what the file does
   * @param flags as given to open(2)
   * @param state what the operations keep (private_data)
   */
  constructor(
    readonly ops: FileOperations<P>,
    public flags: number,
    readonly state: P,
  ) {
    const mode = flags & O_ACCMODE;
    this.readable = mode !== O_WRONLY;
    this.writable = mode !== O_RDONLY;
  }

  get nonblocking(): boolean {
    return (this.flags & O_NONBLOCK) !== 0;
  }
}

/** Who has to forget a file when it goes. */
export interface FileWatcher {
  fileReleased(): void;
}

/** fput(): drops a reference; the last one releases the file, in the context of `task`. */
export function* fput(file: File, task: Task): Steps<void> {
  if (--file.refs > 0) return;
  for (const watcher of file.watchers) watcher.fileReleased();
  file.watchers.clear();
  yield* file.ops.release(file, task);
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
