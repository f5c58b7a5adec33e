import { EINVAL, EPERM, type PhysicalAddress, physicalAddress } from '@usrdrv/core';
import type { PhysicalMemory } from '../machine/memory.ts';
import { type DirectoryEntry, S_IFCHR } from './dentry.ts';
import { defaultLlseek, type File, type FileOperations, type MmapRequest } from './file.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import type { FileSystem, Inode } from './vfs.ts';

/** Physical addresses have 46 bits here. */
const PHYSICAL_END = 2 ** 46;

/** Something that has nodes in /dev, which come and go. */
export interface DevNodes {
  devNodes(): Iterable<DirectoryEntry>;
}

/** /dev: physical memory (S3), and the nodes of whoever has some. */
export class DevFs implements FileSystem {
  readonly mountPoint = 'dev';
  readonly #mem: Inode;
  readonly #nodes: readonly DevNodes[];

  constructor(memory: PhysicalMemory, nodes: readonly DevNodes[]) {
    this.#mem = new MemInode(memory);
    this.#nodes = nodes;
  }

  lookup(path: string): Inode | undefined {
    return path === '/dev/mem' ? this.#mem : undefined;
  }

  *entries(): Iterable<DirectoryEntry> {
    yield { name: 'mem', child: this.#mem };
    for (const nodes of this.#nodes) yield* nodes.devNodes();
  }
}

class MemInode implements Inode {
  readonly mode = S_IFCHR | 0o640;
  readonly #memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** EPERM without CAP_SYS_RAWIO. */
  *open(task: Task): Steps<FileOperations | number> {
    return task.process.capSysRawio ? new MemFile(this.#memory) : -EPERM;
  }
}

/** /dev/mem: the registers of devices, to be mapped. RAM is not to be had through it, as with STRICT_DEVMEM. */
class MemFile implements FileOperations {
  readonly #memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** EINVAL past the last physical address, EPERM where the range has RAM in it. */
  mmap(_file: File, _task: Task, { offset, length }: MmapRequest): PhysicalAddress | number {
    const physical = Number(offset);
    if (physical + length > PHYSICAL_END) return -EINVAL;
    return this.#memory.isRam(physical, length) ? -EPERM : physicalAddress(offset);
  }

  llseek(file: File, offset: number, whence: number): number {
    return defaultLlseek(file, offset, whence);
  }
}
