import { type ErrnoCode, SystemError } from '@usrdrv/core';

/** What an error number of a request means there, and what to do about it. */
export type Meanings = Partial<Record<ErrnoCode, string>>;

/** The error of a request that returned -errno; `request` is its name in linux/vfio.h, or the system call's. */
export function failure(result: number, request: string, path: string, meanings: Meanings = {}): SystemError {
  const error = SystemError.fromResult(result, request, path);
  const detail = meanings[error.code];
  return detail === undefined ? error : new SystemError(error.code, request, { path, detail });
}

/** The result of a request where it is one, else its {@link failure} thrown. */
export function succeeded(result: number, request: string, path: string, meanings?: Meanings): number {
  if (result < 0) throw failure(result, request, path, meanings);
  return result;
}

/** The same for a request that fills in a structure. */
export function filledIn(result: Uint8Array | number, request: string, path: string, meanings?: Meanings): Uint8Array {
  if (typeof result === 'number') throw failure(result, request, path, meanings);
  return result;
}
