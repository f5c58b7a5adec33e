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
 * The directories with their names and modes: a tree of memfs, which is brought up to date before each walk. (memfs
 * stamps its nodes with the host's time; nothing here shows it.)
 */
export class Tree {
  readonly #superblock: Superblock;
  readonly #inodes = new Map<Node, Inode>();

  constructor() {
    this.#superblock = new Superblock();
    this.#superblock.root.children.set('..', this.#superblock.root);
    this.#inodes.set(this.#superblock.root.getNode(), directory);
  }

  /** Makes a directory, and all below it, show exactly these entries. */
  update(path: string, entries: Iterable<DirectoryEntry>): void {
    let link = this.#superblock.root;
    for (const name of names(path)) link = link.getChild(name) ?? this.#create(link, name, directory);
    this.#reconcile(link, entries);
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
    return typeof link === 'number' ? [] : [...link.children.keys()].filter((name) => name !== '.' && name !== '..');
  }

  #walk(path: string): Link | number {
    const found = this.#superblock.walk(names(path), true, true, false);
    if (!found.ok) return found.err.code === 'ENOTDIR' ? -ENOTDIR : -ENOENT;
    return found.value ?? -ENOENT;
  }

  #reconcile(parent: Link, entries: Iterable<DirectoryEntry>): void {
    const gone = new Set(parent.children.keys());
    gone.delete('.');
    gone.delete('..');
    for (const { name, child } of entries) {
      gone.delete(name);
      const inode = typeof child === 'function' ? directory : child;
      let link = parent.getChild(name);
      if (link !== undefined && link.getNode().mode !== inode.mode) {
        this.#remove(parent, link);
        link = undefined;
      }
      link ??= this.#create(parent, name, inode);
      this.#inodes.set(link.getNode(), inode);
      if (typeof child === 'function') this.#reconcile(link, child());
    }
    for (const name of gone) {
      const link = parent.getChild(name);
      if (link !== undefined) this.#remove(parent, link);
    }
  }

  #create(parent: Link, name: string, inode: Inode): Link {
    const node = this.#superblock.createNode(inode.mode);
    this.#inodes.set(node, inode);
    return parent.createChild(name, node);
  }

  #remove(parent: Link, link: Link): void {
    this.#reconcile(link, []);
    parent.deleteChild(link);
    this.#inodes.delete(link.getNode());
    this.#superblock.deleteNode(link.getNode());
  }
}

function names(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
