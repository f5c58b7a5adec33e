/**
 * Linux error numbers as the x86-64 ABI has them (errno(3)), and the error that carries one.
 */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const EFBIG = 27;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECANCELED = 125;

const table = {
  EPERM: [EPERM, 'operation not permitted'],
  ENOENT: [ENOENT, 'no such file or directory'],
  ESRCH: [ESRCH, 'no such process'],
  EINTR: [EINTR, 'interrupted system call'],
  EIO: [EIO, 'i/o error'],
  ENXIO: [ENXIO, 'no such device or address'],
  E2BIG: [E2BIG, 'argument list too long'],
  EBADF: [EBADF, 'bad file descriptor'],
  ECHILD: [ECHILD, 'no child processes'],
  EAGAIN: [EAGAIN, 'resource temporarily unavailable'],
  ENOMEM: [ENOMEM, 'not enough memory'],
  EACCES: [EACCES, 'permission denied'],
  EFAULT: [EFAULT, 'bad address in system call argument'],
  EBUSY: [EBUSY, 'resource busy or locked'],
  EEXIST: [EEXIST, 'file already exists'],
  ENODEV: [ENODEV, 'no such device'],
  ENOTDIR: [ENOTDIR, 'not a directory'],
  EISDIR: [EISDIR, 'illegal operation on a directory'],
  EINVAL: [EINVAL, 'invalid argument'],
  ENFILE: [ENFILE, 'file table overflow'],
  EMFILE: [EMFILE, 'too many open files'],
  ENOTTY: [ENOTTY, 'inappropriate ioctl for device'],
  EFBIG: [EFBIG, 'file too large'],
  ENOSPC: [ENOSPC, 'no space left on device'],
  ESPIPE: [ESPIPE, 'invalid seek'],
  EROFS: [EROFS, 'read-only file system'],
  ERANGE: [ERANGE, 'result too large'],
  ENAMETOOLONG: [ENAMETOOLONG, 'name too long'],
  ENOSYS: [ENOSYS, 'function not implemented'],
  EOVERFLOW: [EOVERFLOW, 'value too large for defined data type'],
  EOPNOTSUPP: [EOPNOTSUPP, 'operation not supported'],
  ENOTCONN: [ENOTCONN, 'not connected'],
  ETIMEDOUT: [ETIMEDOUT, 'connection timed out'],
  ECANCELED: [ECANCELED, 'operation canceled'],
} as const;

/** The symbolic name of an error number: `'EBUSY'`. */
export type ErrnoCode = keyof typeof table;

const nameOf = new Map<number, ErrnoCode>((Object.keys(table) as ErrnoCode[]).map((code) => [table[code][0], code]));

/** Whether that is the symbolic name of an error number known here. */
export function isErrnoCode(code: unknown): code is ErrnoCode {
  return typeof code === 'string' && Object.hasOwn(table, code);
}

/** The name of an error number, positive or negative: `'EBUSY'` for 16 and for -16; `'E…'` where there is none. */
export function errnoName(errno: number): string {
  return nameOf.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`;
}

/** What an error of one call means there, and what to do about it, in words. */
export type ErrnoMeanings = Readonly<Partial<Record<ErrnoCode, string>>>;

/**
 * A failed system call, in the shape of Node's own: `code` is the symbolic name, `errno` the *negative* error number,
 * `syscall` the call that failed, `path` the file or PCI address where there is one, `detail` what was wrong in words.
 *
 * @example
 * ```ts
 * import { SystemError } from '@usrdrv/core';
 * const error = new SystemError('EBUSY', 'open', { path: '/proc/irq/11/irq' });
 * console.assert(error.message === "EBUSY: resource busy or locked, open '/proc/irq/11/irq'");
 * console.assert(error.errno === -16);
 * ```
 */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: ErrnoCode;
  readonly errno: number;
  readonly syscall: string;
  // declare: without a path the property is not there, as in Node.
  declare readonly path?: string;

  constructor(code: ErrnoCode, syscall: string, o: { path?: string; detail?: string } = {}) {
    const [errno, text] = table[code];
    const path = o.path === undefined ? '' : ` '${o.path}'`;
    const detail = o.detail === undefined ? '' : ` (${o.detail})`;
    super(`${code}: ${text}, ${syscall}${path}${detail}`);
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    if (o.path !== undefined) this.path = o.path;
  }

  /** The error for a system call's result of -errno. A number without a name here becomes EIO, with the number in the text. */
  static fromResult(result: number, syscall: string, path?: string, meanings?: ErrnoMeanings): SystemError {
    const code = nameOf.get(-result);
    const where = path === undefined ? {} : { path };
    if (code === undefined) return new SystemError('EIO', syscall, { ...where, detail: `errno ${-result}` });
    const detail = meanings?.[code];
    return new SystemError(code, syscall, { ...where, ...(detail !== undefined && { detail }) });
  }
}

/** Returns a system call's result where it is >= 0, else throws its `SystemError`. */
export function checkResult(result: number, syscall: string, path?: string, meanings?: ErrnoMeanings): number {
  if (result < 0) throw SystemError.fromResult(result, syscall, path, meanings);
  return result;
}
