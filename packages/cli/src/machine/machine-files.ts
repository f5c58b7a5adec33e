import { accessSync, constants, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrnoCode, isErrnoCode, SystemError } from '@usrdrv/core';

/** What says that a file is not there, or that its device has gone while it was read. */
const ABSENT: readonly unknown[] = ['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'ESRCH'];

/**
 * The /sys, /proc, /dev and /run of a machine, below a root folder. Paths are the machine's own, from `/`. What is not there
 * is undefined or empty; what cannot be read is a SystemError with the path.
 */
export class MachineFiles {
  readonly #root: string;

  constructor(root = '/') {
    this.#root = realpathSync(root);
  }

  /** Where a file of the machine is for this process. */
  path(path: string): string {
    return join(this.#root, path);
  }

  /** The text, without white space around it; undefined where there is no such file. */
  text(path: string): string | undefined {
    return this.#present('read', path, () => readFileSync(this.path(path), 'utf8').trim());
  }

  /** The bytes; undefined where there is no such file. */
  bytes(path: string): Uint8Array | undefined {
    return this.#present('read', path, () => readFileSync(this.path(path)));
  }

  /** What a folder holds, in order; nothing where there is no such folder. */
  names(path: string): string[] {
    return this.#present('scandir', path, () => readdirSync(this.path(path)).sort(inOrder)) ?? [];
  }

  /** The text of a symbolic link; undefined where there is none. */
  link(path: string): string | undefined {
    return this.#present('readlink', path, () => readlinkSync(this.path(path)));
  }

  /** The path that a file really has, with every link followed; undefined where there is no such file. */
  realPath(path: string): string | undefined {
    const real = this.#present('realpath', path, () => realpathSync(this.path(path)));
    return real?.slice(this.#root === '/' ? 0 : this.#root.length);
  }

  exists(path: string): boolean {
    return this.realPath(path) !== undefined;
  }

  /** Why this process may not open a file that way, undefined where it may. */
  refusal(path: string, mode: 'read' | 'write' | 'read and write'): ErrnoCode | undefined {
    const { R_OK, W_OK } = constants;
    try {
      accessSync(this.path(path), mode === 'read' ? R_OK : mode === 'write' ? W_OK : R_OK | W_OK);
      return undefined;
    } catch (error) {
      return asSystemError(error, 'access', path).code;
    }
  }

  #present<T>(syscall: string, path: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      const failed = asSystemError(error, syscall, path);
      if (ABSENT.includes(failed.code)) return undefined;
      throw failed;
    }
  }
}

/** An error of Node's own in the project's shape, with the machine's path. Anything else is thrown on. */
export function asSystemError(error: unknown, syscall: string, path: string, detail?: string): SystemError {
  if (error instanceof Error && 'code' in error && isErrnoCode(error.code)) {
    return new SystemError(error.code, syscall, { path, ...(detail === undefined ? {} : { detail }) });
  }
  throw error;
}

/** 9 before 10. */
function inOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
