import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { SystemError } from '@usrdrv/core';
import { asSystemError, type MachineFiles } from '../machine/machine-files.ts';

/** In memory: gone with the next boot, as the binding is (docs/decisions). */
const FOLDER = '/run/usrdrv/bind';

/** What a function was before `usrdrv bind`. */
export interface FormerDriver {
  readonly driver: string | null;
  readonly driverOverride: string | null;
  /** What it was bound to then: where it is something else by now, somebody else has done that. */
  readonly to: string | null;
}

export function recordPath(address: string): string {
  return `${FOLDER}/${address}.json`;
}

/** @throws SystemError EIO where the file holds something else */
export function recall(files: MachineFiles, address: string): FormerDriver | undefined {
  const path = recordPath(address);
  const text = files.text(path);
  if (text === undefined) return undefined;
  try {
    const record: unknown = JSON.parse(text);
    if (isFormerDriver(record)) return record;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new SystemError('EIO', 'read', { path, detail: 'it does not hold what usrdrv bind writes; remove it' });
}

/** Whole or not at all: the file is written beside its place and moved there. */
export function remember(files: MachineFiles, address: string, former: FormerDriver): void {
  const path = recordPath(address);
  const target = files.path(path);
  try {
    mkdirSync(files.path(FOLDER), { recursive: true });
    const fd = openSync(`${target}.new`, 'w', 0o644);
    try {
      writeSync(fd, `${JSON.stringify(former)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${target}.new`, target);
  } catch (error) {
    throw asSystemError(error, 'open', path, 'the former driver cannot be remembered here; nothing has been changed');
  }
}

export function forget(files: MachineFiles, address: string): void {
  rmSync(files.path(recordPath(address)), { force: true });
}

function isFormerDriver(record: unknown): record is FormerDriver {
  if (typeof record !== 'object' || record === null) return false;
  if (!('driver' in record) || !('driverOverride' in record) || !('to' in record)) return false;
  const { driver, driverOverride, to } = record;
  return isNameOrNull(driver) && isNameOrNull(driverOverride) && isNameOrNull(to);
}

function isNameOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
