import { type ErrnoMeanings, SystemError } from '@usrdrv/core';

/**
 * What a request of VFIO filled in.
 * @param request its name in linux/vfio.h
 * @throws SystemError the request returned -errno
 */
export function filledIn(
  result: Uint8Array | number,
  request: string,
  path: string,
  meanings?: ErrnoMeanings,
): Uint8Array {
  if (typeof result === 'number') throw SystemError.fromResult(result, request, path, meanings);
  return result;
}
