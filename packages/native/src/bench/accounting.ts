import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { PAGE_SIZE } from '@usrdrv/core';

/** Documentation/admin-guide/mm/pagemap.rst */
const PAGEMAP = '/proc/self/pagemap';
const KPAGEFLAGS = '/proc/kpageflags';
const PAGE_FRAME = (1n << 55n) - 1n;
const KPF_DIRTY = 1n << 4n;
/** Folds each processor's part into the counters. */
const STAT_REFRESH = '/proc/sys/vm/stat_refresh';

/** The books of the machine's memory, as far as the kernel shows them to root. */
export const accounting = {
  /** Pages that drivers have pinned, whoever they belong to. */
  pins(): number {
    writeFileSync(STAT_REFRESH, '1');
    const vmstat = readFileSync('/proc/vmstat', 'utf8');
    const counter = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(vmstat)?.[1]);
    return counter('nr_foll_pin_acquired') - counter('nr_foll_pin_released');
  },

  /** Whether the frame behind a page of this process is marked dirty. */
  dirty(address: bigint): boolean {
    const frame = entry(PAGEMAP, address / BigInt(PAGE_SIZE)) & PAGE_FRAME;
    return (entry(KPAGEFLAGS, frame) & KPF_DIRTY) !== 0n;
  },
};

/** 64 bits of a table. */
function entry(path: string, index: bigint): bigint {
  const bytes = new BigUint64Array(1);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, bytes, 0, 8, index * 8n);
  } finally {
    closeSync(fd);
  }
  return bytes[0] ?? 0n;
}
