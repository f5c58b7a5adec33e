import { type Link, type Node, Superblock } from '@jsonjoy.com/fs-core';
import { EISDIR, ENOENT, ENOTDIR } from '@usrdrv/core';
import type { File, FileOperations } from './file.ts';
import type { Steps } from './step.ts';
import type { Inode } from './vfs.ts';

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFCHR = 0o020000;

/** What a file system shows under one name: a file, or a directory with more. */
export interface DirectoryEntry {
  readonly name: string;
  readonly child: Inode | (() => Iterable<DirectoryEntry>);
}

/** An opened directory: there is nothing to read in it with read(2). */
class DirectoryFile implements FileOperations {
  *read(): Steps<number> {
    return -EISDIR;
  }

  llseek(file: File, offset: number): number {
    file.position = offset;
    return offset;
  }
}

/** Any directory: all may look, none may write. */
export const directory: Inode = {
  mode: S_IFDIR | 0o555,
  *open() {
    return new DirectoryFile();
  },
};

/**
 * The directories with their names and modes: a tree of memfs. A directory in it is brought up to date when a path leads
 * through it, and not before. (memfs stamps its nodes with the host's time; nothing here shows it.)
 */
export class Tree {
  readonly #superblock = new Superblock();
  readonly #inodes = new Map<Node, Inode>();
  readonly #entries = new Map<Node, () => Iterable<DirectoryEntry>>();

  /** @param entries what the root directory shows */
  constructor(entries: () => Iterable<DirectoryEntry>) {
    const { root } = this.#superblock;
    root.children.set('..', root);
    this.#inodes.set(root.getNode(), directory);
    this.#entries.set(root.getNode(), entries);
  }

  /** Walks a path, `.` and `..` included, from the root: what it leads to, or -errno. */
  walk(path: string): Inode | number {
    const link = this.#walk(path);
    if (typeof link === 'number') return link;
    const inode = this.#inodes.get(link.getNode());
    if (inode === undefined) return -ENOENT;
    return path.endsWith('/') && inode.mode >> 12 !== S_IFDIR >> 12 ? -ENOTDIR : inode;
  }

  /** The names in a directory. */
  list(path: string): string[] {
    const link = this.#walk(path);
    if (typeof link === 'number') return [];
    this.#refresh(link);
    return [...namesIn(link)];
  }

  #walk(path: string): Link | number {
    const steps = path.split('/').filter((name) => name !== '');
    let link: Link | undefined = this.#superblock.root;
    for (const name of steps) {
      if (link === undefined) break;
      this.#refresh(link);
      link = link.getChild(name);
    }
    const found = this.#superblock.walk(steps, true, true, false);
    if (!found.ok) return found.err.code === 'ENOTDIR' ? -ENOTDIR : -ENOENT;
    return found.value ?? -ENOENT;
  }

  /** Makes a directory show what it has now. */
  #refresh(parent: Link): void {
    const entries = this.#entries.get(parent.getNode());
    if (entries === undefined) return;
    const gone = new Set(namesIn(parent));
    for (const { name, child } of entries()) {
      gone.delete(name);
      const inode = typeof child === 'function' ? directory : child;
      let link = parent.getChild(name);
      if (link !== undefined && link.getNode().mode !== inode.mode) {
        this.#remove(parent, link);
        link = undefined;
      }
      link ??= parent.createChild(name, this.#superblock.createNode(inode.mode));
      this.#inodes.set(link.getNode(), inode);
      if (typeof child === 'function') this.#entries.set(link.getNode(), child);
    }
    for (const name of gone) {
      const link = parent.getChild(name);
      if (link !== undefined) this.#remove(parent, link);
    }
  }

  #remove(parent: Link, link: Link): void {
    for (const name of [...namesIn(link)]) {
      const child = link.getChild(name);
      if (child !== undefined) this.#remove(link, child);
    }
    parent.deleteChild(link);
    this.#inodes.delete(link.getNode());
    this.#entries.delete(link.getNode());
    this.#superblock.deleteNode(link.getNode());
  }
}

function* namesIn(link: Link): Iterable<string> {
  for (const name of link.children.keys()) if (name !== '.' && name !== '..') yield name;
}
