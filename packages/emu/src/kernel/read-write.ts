import {
  EBADF,
  EFAULT,
  EINVAL,
  ESPIPE,
  type Interruptible,
  type MaySleep,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  type VirtualAddress,
} from '@usrdrv/core';
import type { File } from './file.ts';
import type { Process } from './process.ts';
import type { SystemCall } from './scheduler.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';
import type { TaskPool } from './task-pool.ts';

const INT_MAX = 0x7fff_ffff;
const MAX_RW_COUNT = 0x7fff_f000;

/** read(2) and write(2) down to the file's own operation, which is called with a file that cannot go away meanwhile (P8). */
export function readWrite(
  pool: TaskPool,
  direction: 'read' | 'write',
  fd: number,
  buf: VirtualAddress,
  count: number,
  o: Interruptible | undefined,
): MaySleep {
  const { process } = pool;
  const file = fileFor(process, direction, fd);
  if (typeof file === 'number') return file;
  const error = checkBuffer(process, buf, count);
  if (error < 0) return error;
  file.refs++;
  return pool.run(new Transfer(process, direction, fd, buf, Math.min(count, MAX_RW_COUNT), file), o);
}

/** A read(2) or write(2) on its way. */
class Transfer implements SystemCall {
  #started = false;

  constructor(
    private readonly process: Process,
    private readonly direction: 'read' | 'write',
    private readonly fd: number,
    private readonly buf: VirtualAddress,
    private readonly count: number,
    private file: File,
  ) {}

  start(task: Task): Steps<number> {
    if (this.#started) return this.#restart(task);
    this.#started = true;
    return this.#steps(task);
  }

  /** A restart after a signal is a new call: it finds whatever the descriptor is now. */
  #restart(task: Task): Steps<number> {
    const file = fileFor(this.process, this.direction, this.fd);
    if (typeof file === 'number') return failed(file);
    file.refs++;
    this.process.put(this.file);
    this.file = file;
    return this.#steps(task);
  }

  #steps(task: Task): Steps<number> {
    const { file, buf, count } = this;
    const { ops } = file;
    const steps = this.direction === 'read' ? ops.read?.(file, task, buf, count) : ops.write?.(file, task, buf, count);
    return steps ?? failed(-EINVAL);
  }

  over(): void {
    this.process.put(this.file);
  }
}

/** lseek(2) */
export function lseek(process: Process, fd: number, offset: number, whence: number): number {
  const file = process.files.get(fd);
  if (file === undefined) return -EBADF;
  if (whence !== SEEK_SET && whence !== SEEK_CUR && whence !== SEEK_END) return -EINVAL;
  if (!Number.isSafeInteger(offset)) return -EINVAL;
  return file.ops.llseek === undefined ? -ESPIPE : file.ops.llseek(file, offset, whence);
}

/** P1: a file that is open for it, and can do it. */
function fileFor({ files }: Process, direction: 'read' | 'write', fd: number): File | number {
  const file = files.get(fd);
  if (file === undefined || !(direction === 'read' ? file.readable : file.writable)) return -EBADF;
  const { ops } = file;
  return (direction === 'read' ? ops.read : ops.write) === undefined ? -EINVAL : file;
}

/** P1: the range lies in user space, and is not too long. Whether anything is mapped there shows when it is used. */
function checkBuffer({ mm, kernel }: Process, buf: VirtualAddress, count: number): number {
  if (typeof buf !== 'bigint') return -EFAULT;
  if (!Number.isInteger(count)) return -EINVAL;
  if (count < 0 || !mm.accessOk(buf, count)) return -EFAULT;
  // 6.1 cuts what is too long to MAX_RW_COUNT, and goes on.
  return count > INT_MAX && kernel.profile === 'chubb-2.6.11' ? -EINVAL : 0;
}

function* failed(error: number): Steps<number> {
  return error;
}
