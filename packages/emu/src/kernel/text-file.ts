import { EFAULT, EINVAL, PAGE_SIZE, SEEK_END, type VirtualAddress } from '@usrdrv/core';
import { S_IFREG } from './dentry.ts';
import { defaultLlseek, type File, type FileOperations } from './file.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import type { Inode } from './vfs.ts';

/** Takes what is written to a file: 0 or -errno. */
type Store = (task: Task, text: string) => number | Steps<number>;

/** A file whose text the kernel makes when it is read: most of /proc and /sys. */
export class TextInode implements Inode {
  readonly mode: number;
  readonly #text: () => string;
  readonly #store: Store | undefined;

  /**
   * @param permissions 0o444
   * @param text makes the contents
   * @param store takes what is written: 0 or -errno
   */
  constructor(permissions: number, text: () => string, store?: Store) {
    this.mode = S_IFREG | permissions;
    this.#text = text;
    this.#store = store;
  }

  *open(): Steps<FileOperations> {
    return new TextFile(() => this.show(), this.#store);
  }

  show(): Uint8Array {
    return new TextEncoder().encode(this.#text());
  }
}

class TextFile implements FileOperations {
  readonly #show: () => Uint8Array;
  readonly #store: Store | undefined;
  #text: Uint8Array | undefined = undefined;

  constructor(show: () => Uint8Array, store: Store | undefined) {
    this.#show = show;
    this.#store = store;
  }

  /** The text is made anew whenever reading starts at the beginning. */
  *read(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (file.position === 0 || this.#text === undefined) this.#text = this.#show();
    const part = this.#text.subarray(file.position, file.position + count);
    if (!task.process.mm.copyToUser(buf, part)) return -EFAULT;
    file.position += part.length;
    return part.length;
  }

  *write(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (this.#store === undefined) return -EINVAL;
    const bytes = task.process.mm.copyFromUser(buf, Math.min(count, PAGE_SIZE - 1));
    if (bytes === undefined) return -EFAULT;
    const stored = this.#store(task, new TextDecoder().decode(bytes));
    const error = typeof stored === 'number' ? stored : yield* stored;
    if (error < 0) return error;
    file.position += bytes.length;
    return bytes.length;
  }

  llseek(file: File, offset: number, whence: number): number {
    return whence === SEEK_END ? -EINVAL : defaultLlseek(file, offset, whence);
  }
}
