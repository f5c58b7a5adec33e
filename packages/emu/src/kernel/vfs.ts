import {
  EACCES,
  EEXIST,
  EFAULT,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENFILE,
  ENOENT,
  ENOTDIR,
  type FileView,
  type KernelProfile,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
  SystemError,
} from '@usrdrv/core';
import { type DirectoryEntry, S_IFDIR, S_IFMT, Tree } from './dentry.ts';
import type { FileOperations, FileTable } from './file.ts';
import { type Steps, step } from './step.ts';
import type { Task } from './task.ts';

/** What a path leads to (struct inode). */
export interface Inode {
  /** File type and permissions: 0o100600. Everything belongs to root. */
  readonly mode: number;
  /** What the file does once opened (f_op->open), or -errno. */
  open(task: Task, flags: number): Steps<FileOperations | number>;
  /** The contents, of files that are read from beginning to end and do nothing else. */
  show?(): Uint8Array;
}

/** A mounted file system. */
export interface FileSystem {
  /** The directory in the root that it is mounted on: `proc`. */
  readonly mountPoint: string;
  /** What it shows at this moment. */
  entries(): Iterable<DirectoryEntry>;
  /**
   * The usual case, and fast: what a path without detours leads to, or -errno. Undefined where a walk through the
   * directories has to find out.
   */
  lookup(path: string): Inode | number | undefined;
}

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_DIRECTORY = 0o200000;
/** What open(2) adds on a 64-bit machine; F_GETFL shows it. */
const O_LARGEFILE = 0o100000;
const PATH_MAX = 4096;
const NAME_MAX = 255;

/** The descriptor is taken, and nothing is open: somebody else may open or close the same meanwhile. */
const FD_RESERVED = step('open.reserved');

/** Paths and what they lead to. The tree of directories is built at the first path that needs it. */
export class Vfs {
  readonly #mounts: readonly FileSystem[];
  readonly #files: FileTable;
  readonly #profile: KernelProfile;
  #built: Tree | undefined = undefined;

  constructor(mounts: readonly FileSystem[], files: FileTable, profile: KernelProfile) {
    this.#mounts = mounts;
    this.#files = files;
    this.#profile = profile;
  }

  /** open(2): a descriptor or -errno. Nothing has happened where it fails. */
  *open(task: Task, path: string, flags: number): Steps<number> {
    if (typeof path !== 'string') return -EFAULT;
    if (!Number.isInteger(flags) || flags < -0x8000_0000 || flags > 0xffff_ffff) return -EINVAL;
    if (path.length >= PATH_MAX) return -ENAMETOOLONG;
    const { process } = task;
    const fd = process.files.unused();
    if (fd < 0) return fd;
    // 6.1 takes the struct file first, 2.6.11 after it has found the way.
    const early = this.#profile === 'usrdrv-6.1';
    if (early && !this.#files.hasRoom(process)) return -ENFILE;
    const inode = this.lookup(path);
    if (typeof inode === 'number') return inode;
    const error = mayOpen(inode, flags, process.uid);
    if (error < 0) return error;
    if (!early && !this.#files.hasRoom(process)) return -ENFILE;
    process.files.reserve(fd);
    yield FD_RESERVED;
    const ops = yield* inode.open(task, flags);
    if (typeof ops === 'number') {
      process.files.unreserve(fd);
      return ops;
    }
    process.files.install(fd, this.#files.create(ops, flags | O_LARGEFILE));
    return fd;
  }

  /** What a path leads to, or -errno. */
  lookup(path: string): Inode | number {
    for (const mount of this.#mounts) {
      const inode = mount.lookup(path);
      if (inode !== undefined) return inode;
    }
    if (path === '') return -ENOENT;
    if (path.split('/').some((name) => name.length > NAME_MAX)) return -ENAMETOOLONG;
    return this.#tree.walk(path);
  }

  /** The files as node:fs shows them. Looking does not open: a line is not claimed by being looked at (D11). */
  readonly view: FileView = {
    readdirSync: (path) => {
      const inode = this.#see(path, 'scandir');
      if ((inode.mode & S_IFMT) !== S_IFDIR) throw new SystemError('ENOTDIR', 'scandir', { path });
      return this.#tree.list(path);
    },
    readFileSync: (path) => {
      const inode = this.#see(path, 'open');
      if ((inode.mode & S_IFMT) === S_IFDIR) throw new SystemError('EISDIR', 'read', { path });
      if (inode.show === undefined) {
        throw new SystemError('EINVAL', 'read', { path, detail: 'no text: opening it does something' });
      }
      return inode.show();
    },
    existsSync: (path) => typeof path === 'string' && typeof this.lookup(path) !== 'number',
  };

  #see(path: string, syscall: string): Inode {
    if (typeof path !== 'string') throw new TypeError(`a path is a string, not ${typeof path}`);
    const inode = this.lookup(path);
    if (typeof inode === 'number') throw SystemError.fromResult(inode, syscall, path);
    return inode;
  }

  get #tree(): Tree {
    this.#built ??= new Tree(() =>
      this.#mounts.map((mount) => ({ name: mount.mountPoint, child: () => mount.entries() })),
    );
    return this.#built;
  }
}

/** may_open(): whether somebody may open this, this way. */
function mayOpen({ mode }: Inode, flags: number, uid: number): number {
  if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -EEXIST;
  const access = flags & O_ACCMODE;
  if ((mode & S_IFMT) === S_IFDIR) {
    if (access !== O_RDONLY || (flags & O_CREAT) !== 0) return -EISDIR;
  } else if ((flags & O_DIRECTORY) !== 0) {
    return -ENOTDIR;
  }
  if (uid === 0) return 0;
  const wanted = access === O_RDONLY ? 4 : access === O_WRONLY ? 2 : 6;
  return (mode & wanted) === wanted ? 0 : -EACCES;
}
