import { EBADF, EMFILE } from '@usrdrv/core';
import { expect, test } from 'vitest';
import { FdTable } from './fd-table.ts';
import { FileTable } from './file.ts';

const limits = (RLIMIT_NOFILE: number): { RLIMIT_NOFILE: number; RLIMIT_MEMLOCK: number } => ({
  RLIMIT_NOFILE,
  RLIMIT_MEMLOCK: 0,
});

test('a descriptor that an open holds for itself is nobody else’s, and looks closed until the open is over', () => {
  const system = new FileTable(10);
  const files = new FdTable(limits(2));
  const first = files.unused();
  files.reserve(first);
  expect(files.get(first)).toBeUndefined();
  expect(files.remove(first)).toBeUndefined();
  expect(files.dup(first)).toBe(-EBADF);
  const second = files.unused();
  expect(second).toBe(1);
  files.install(second, system.create({}, 0));
  expect(files.unused()).toBe(-EMFILE);
  expect(files.fork(limits(2)).unused()).toBe(0);
  files.unreserve(first);
  expect(files.unused()).toBe(first);
  files.reserve(first);
  expect(files.removeAll()).toHaveLength(1);
});

test('only numbers are descriptors', () => {
  const files = new FdTable(limits(2));
  for (const fd of ['length', '0', -1, 0.5, Number.NaN, undefined, null, {}, 0n]) {
    expect(Reflect.apply(files.get, files, [fd])).toBeUndefined();
  }
});
