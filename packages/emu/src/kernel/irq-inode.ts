import { ENODEV, ENOMEM, type KernelProfile } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { TraceLog } from '../trace/log.ts';
import { S_IFREG } from './dentry.ts';
import type { FileOperations } from './file.ts';
import type { IrqCore } from './irq-desc.ts';
import { ChubbIrqFile } from './irq-file-chubb.ts';
import { UsrdrvIrqFile } from './irq-file-usrdrv.ts';
import { type Steps, step } from './step.ts';
import type { Task } from './task.ts';
import type { Inode } from './vfs.ts';

/** request_irq() has unmasked the line: what it held asserted arrives now, before open returns (P9). */
const REQUESTED = step('open.requested');

/** What opening a line needs of the kernel. */
export interface IrqFileKernel {
  readonly profile: KernelProfile;
  readonly irqCore: IrqCore;
  readonly oracle: Oracle;
  readonly trace: TraceLog;
}

/** /proc/irq/N/irq: opening it claims the line under the caller's command name (P6). */
export class IrqInode implements Inode {
  readonly mode = S_IFREG | 0o600;
  readonly #kernel: IrqFileKernel;
  readonly #irq: number;

  constructor(kernel: IrqFileKernel, irq: number) {
    this.#kernel = kernel;
    this.#irq = irq;
  }

  *open(task: Task): Steps<FileOperations | number> {
    const { profile, irqCore, oracle, trace } = this.#kernel;
    const desc = irqCore.desc(this.#irq);
    if (desc === undefined) return -ENODEV;
    if (oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const file =
      profile === 'chubb-2.6.11' ? new ChubbIrqFile(irqCore, desc, trace) : new UsrdrvIrqFile(irqCore, desc, trace);
    const error = file.claim(task.process.comm);
    if (error < 0) return error;
    yield REQUESTED;
    return file;
  }
}
