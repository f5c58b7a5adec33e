import { EBADF, EMFILE } from '@usrdrv/core';
import type { File } from './file.ts';

/** What a process may have at most (setrlimit(2)). */
export interface Rlimits {
  /** Descriptors are below it; lowering it closes nothing. */
  RLIMIT_NOFILE: number;
  /** Bytes. */
  RLIMIT_MEMLOCK: number;
}

/** The descriptors of a process (struct files_struct): each entry is one reference to an open file. */
export class FdTable {
  /** null is taken by an open(2) that is not over yet. */
  readonly #files: (File | null | undefined)[] = [];
  readonly #rlimits: Rlimits;

  constructor(rlimits: Rlimits) {
    this.#rlimits = rlimits;
  }

  /** The file behind a descriptor; undefined (EBADF) for whatever is none, of any type. */
  get(fd: number): File | undefined {
    return typeof fd === 'number' ? (this.#files[fd] ?? undefined) : undefined;
  }

  /** The lowest free descriptor, or -EMFILE. It stays free until {@link install} or {@link reserve}. */
  unused(): number {
    let fd = 0;
    while (this.#files[fd] !== undefined) fd++;
    return fd < this.#rlimits.RLIMIT_NOFILE ? fd : -EMFILE;
  }

  /** get_unused_fd(): nobody else gets the descriptor, and to everybody it looks closed. */
  reserve(fd: number): void {
    this.#files[fd] = null;
  }

  /** put_unused_fd(): a reserved descriptor is free again. */
  unreserve(fd: number): void {
    this.#files[fd] = undefined;
  }

  /** fd_install(): the descriptor takes over the caller's reference. */
  install(fd: number, file: File): void {
    this.#files[fd] = file;
  }

  /** A second descriptor for the same file (P8). */
  dup(fd: number): number {
    const file = this.get(fd);
    if (file === undefined) return -EBADF;
    const copy = this.unused();
    if (copy < 0) return copy;
    file.refs++;
    this.install(copy, file);
    return copy;
  }

  /** Takes the file out; the caller drops the reference. */
  remove(fd: number): File | undefined {
    const file = this.get(fd);
    if (file !== undefined) this.#files[fd] = undefined;
    return file;
  }

  /** fork(): a table of its own, the same files. */
  fork(rlimits: Rlimits): FdTable {
    const child = new FdTable(rlimits);
    this.#files.forEach((file, fd) => {
      if (file === undefined || file === null) return;
      file.refs++;
      child.install(fd, file);
    });
    return child;
  }

  /** exit_files(): every file, in the order of the descriptors; the caller drops the references. */
  removeAll(): File[] {
    const removed: File[] = [];
    for (let fd = 0; fd < this.#files.length; fd++) {
      const file = this.remove(fd);
      if (file !== undefined) removed.push(file);
    }
    return removed;
  }
}
