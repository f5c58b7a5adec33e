import { ENOSYS, type VirtualAddress } from '@usrdrv/core';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';

/** The PCI system calls (U): each checks all that it is given, of whatever type, and returns a value >= 0 or -errno. */
export interface UsrPci {
  /** U1 */
  open(task: Task, bus: number, slot: number, fn: number, dmaMask: bigint, domain: number): Steps<number>;
  /** U3 */
  getConsistent(task: Task, fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): Steps<number>;
  /** U4 */
  mmap(task: Task, fd: number, mp: VirtualAddress): Steps<number>;
  /** U5 */
  munmap(task: Task, fd: number, mp: VirtualAddress): Steps<number>;
  /** Not in the 2005 interface: ENOSYS there. */
  irqVectors(task: Task, fd: number, min: number, max: number, irqs: VirtualAddress): Steps<number>;
}

/** A kernel without the calls. */
export class NoUsrPci implements UsrPci {
  *open(): Steps<number> {
    return -ENOSYS;
  }
  *getConsistent(): Steps<number> {
    return -ENOSYS;
  }
  *mmap(): Steps<number> {
    return -ENOSYS;
  }
  *munmap(): Steps<number> {
    return -ENOSYS;
  }
  *irqVectors(): Steps<number> {
    return -ENOSYS;
  }
}
