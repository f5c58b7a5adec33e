import { EINVAL, PAGE_SIZE, type PhysicalAddress, physicalAddress } from '@usrdrv/core';
import { S_IFREG } from './dentry.ts';
import type { FileOperations } from './file.ts';
import type { PciDev } from './pci-dev.ts';
import type { Inode } from './vfs.ts';

const NAME = /^resource([0-5])$/;

/** sysfs' resourceN of a function: the memory of BAR N, to be mapped. Undefined for any other name, and an absent BAR. */
export function resourceFile({ function: pciFunction }: PciDev, name: string): Inode | undefined {
  const index = Number(NAME.exec(name)?.[1] ?? -1);
  const bar = pciFunction.model.bars[index];
  const start = pciFunction.barAddress(index);
  if (bar === undefined || start === undefined) return undefined;
  const pages = Math.ceil(((start % PAGE_SIZE) + bar.size) / PAGE_SIZE);
  const file: FileOperations = {
    // pci_mmap_fits(): whole pages of the resource, from its first on.
    mmap(_file, _task, { offset, length }): PhysicalAddress | number {
      if (Number(offset) + length > pages * PAGE_SIZE) return -EINVAL;
      return physicalAddress(BigInt(start - (start % PAGE_SIZE)) + offset);
    },
  };
  return {
    mode: S_IFREG | 0o600,
    *open() {
      return file;
    },
  };
}
