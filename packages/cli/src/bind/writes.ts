import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { asSystemError, type MachineFiles } from '../machine/machine-files.ts';
import { driverFolder, type SysfsFunction } from '../machine/pci-function.ts';
import type { Obstacle } from './obstacle.ts';

/** One write to a file in sysfs, and the write that takes it back. */
export interface SysfsWrite {
  readonly path: string;
  readonly value: string;
  readonly undo?: { readonly path: string; readonly value: string };
}

/**
 * The writes that move a function from its driver to another, or to none. The override comes first, so that nobody else's
 * driver takes the function while it has none.
 * @param override what driver_override shall be; null for nothing
 */
export function writesFor(fn: SysfsFunction, driver: string | null, override: string | null): SysfsWrite[] {
  const { address } = fn;
  const [driverNow, overrideNow] = [fn.driver ?? null, fn.driverOverride ?? null];
  const writes: SysfsWrite[] = [];
  if (override !== overrideNow) {
    const path = fn.file('driver_override');
    writes.push({ path, value: override ?? '', undo: { path, value: overrideNow ?? '' } });
  }
  if (driver === driverNow) return writes;
  if (driverNow !== null) {
    const folder = driverFolder(driverNow);
    const undo = { path: `${folder}/bind`, value: address };
    writes.push({ path: `${folder}/unbind`, value: address, undo });
  }
  if (driver !== null) writes.push({ path: `${driverFolder(driver)}/bind`, value: address });
  return writes;
}

/** As a line for a shell. */
export function shellLine({ path, value }: SysfsWrite): string {
  return value === '' ? `echo > ${path}` : `echo ${value} > ${path}`;
}

/** Whether this process may do all of it; asked before the first. */
export function permissionObstacles(files: MachineFiles, writes: readonly SysfsWrite[]): Obstacle[] {
  for (const { path } of writes) {
    const code = files.refusal(path, 'write');
    if (code === 'EROFS') {
      const remedy = 'run it outside of the container, or mount -o remount,rw /sys';
      return [{ code, what: '/sys is mounted read-only', remedy }];
    }
    if (code !== undefined) return [{ code, what: `${path} cannot be written`, remedy: 'run it as root' }];
  }
  return [];
}

/**
 * Does the writes in order. Where one fails, those before it are taken back.
 * @throws SystemError of the write that failed; its text says whether the former state is back
 */
export function perform(files: MachineFiles, writes: readonly SysfsWrite[]): void {
  for (const [index, write] of writes.entries()) {
    try {
      store(files, write);
    } catch (error) {
      throw asSystemError(error, 'write', write.path, `dmesg may say why; ${takenBack(files, writes.slice(0, index))}`);
    }
  }
}

/** The override first: with it in place the former driver could not be bound. */
function takenBack(files: MachineFiles, done: readonly SysfsWrite[]): string {
  const failed: string[] = [];
  for (const { undo } of done) {
    if (undo === undefined) continue;
    try {
      store(files, undo);
    } catch {
      failed.push(shellLine(undo));
    }
  }
  return failed.length === 0 ? 'everything is as it was' : `not taken back: ${failed.join('; ')}`;
}

function store(files: MachineFiles, { path, value }: { path: string; value: string }): void {
  // As a shell's `echo >` does it, but never O_CREAT. Some of these files cannot be opened for reading.
  const fd = openSync(files.path(path), constants.O_WRONLY | constants.O_TRUNC);
  try {
    writeSync(fd, `${value}\n`);
  } finally {
    closeSync(fd);
  }
}
