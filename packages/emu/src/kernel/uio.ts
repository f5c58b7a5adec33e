import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENOSYS,
  O_NONBLOCK,
  PAGE_SIZE,
  type PhysicalAddress,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  type VirtualAddress,
} from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import { type DirectoryEntry, S_IFCHR } from './dentry.ts';
import type { File, FileOperations, MmapRequest, PollTable } from './file.ts';
import { ERESTARTSYS } from './scheduler.ts';
import { SCHEDULE, type Steps, step } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { UioClass } from './uio-class.ts';
import type { UioDevice } from './uio-device.ts';
import { MAX_UIO_MAPS } from './uio-info.ts';
import type { Inode } from './vfs.ts';

const OPEN = step('uio_open');
const READ_ENQUEUE = step('uio_read.enqueue');
const READ_INFO = step('uio_read.info');
const READ_LOOK = step('uio_read.look');
const READ_COPY = step('uio_read.copy');
const READ_DEQUEUE = step('uio_read.dequeue');
const POLL_WAIT = step('uio_poll.wait');
const POLL_LOOK = step('uio_poll.look');
const WRITE_COPY = step('uio_write.copy');
const WRITE_CONTROL = step('uio_write.irqcontrol');
const RELEASE = step('uio_release');

const READABLE = POLLIN | POLLRDNORM;
/** What uio_poll() says of a device that has gone: -EIO, taken for a poll mask, which is every bit but one. */
const ALL_BUT_OUT = 0xffff & ~POLLOUT;
/** sizeof(s32): the one length that reads and writes have. */
const COUNT_BYTES = 4;

/** Mainline's UIO: one node a device, for its interrupts and its memory (N). */
export class Uio extends UioClass {
  readonly name = 'uio';

  *nodes({ minor }: UioDevice): Iterable<DirectoryEntry> {
    yield { name: `uio${minor}`, child: this.node(minor) };
  }

  node(minor: number): Inode {
    return new UioInode(this, minor, this.kernel.oracle);
  }
}

class UioInode implements Inode {
  readonly mode = S_IFCHR | 0o600;

  constructor(
    private readonly uio: Uio,
    private readonly minor: number,
    private readonly oracle: Oracle,
  ) {}

  *open(): Steps<FileOperations | number> {
    const device = this.uio.device(this.minor);
    if (device === undefined) return -ENODEV;
    if (this.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const listener = new UioListener(device);
    yield OPEN;
    if (device.info === undefined) return -EINVAL;
    const error = device.info.open?.() ?? 0;
    return error < 0 ? error : listener;
  }
}

/**
 * An open /dev/uioN (struct uio_listener). Each has a snapshot of the count of its own, taken at open (N2): an event is news
 * to everybody. The kernel's info_lock is held over no step here, so that nothing has to stand for it.
 */
class UioListener implements FileOperations {
  #eventCount: number;

  constructor(private readonly device: UioDevice) {
    this.#eventCount = device.event;
  }

  /** N1: the count of all events so far, when it is another than at the last read. */
  *read(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (count !== COUNT_BYTES) return -EINVAL;
    const { device } = this;
    const entry = task.waiter;
    yield READ_ENQUEUE;
    device.wait.add(entry);
    let result: number | undefined;
    while (result === undefined) {
      yield READ_INFO;
      if (device.info?.irq === undefined) {
        result = -EIO;
        break;
      }
      task.state = TASK_INTERRUPTIBLE;
      yield READ_LOOK;
      const now = device.event;
      if (now !== this.#eventCount) {
        task.state = TASK_RUNNING;
        yield READ_COPY;
        result = task.process.mm.putInt32(buf, now) ? COUNT_BYTES : -EFAULT;
        if (result > 0) this.#eventCount = now;
      } else if ((file.flags & O_NONBLOCK) !== 0) {
        result = -EAGAIN;
      } else if (task.signalPending) {
        result = -ERESTARTSYS;
      } else {
        yield SCHEDULE;
      }
    }
    yield READ_DEQUEUE;
    task.state = TASK_RUNNING;
    device.wait.remove(entry);
    return result;
  }

  /** N3: looks, and enables nothing. */
  *poll(_file: File, _task: Task, table: PollTable | undefined): Steps<number> {
    const { device } = this;
    if (device.info?.irq === undefined) return ALL_BUT_OUT;
    yield POLL_WAIT;
    table?.wait(device.wait);
    yield POLL_LOOK;
    return this.#eventCount === device.event ? 0 : READABLE;
  }

  /** N4 */
  *write(_file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (count !== COUNT_BYTES) return -EINVAL;
    yield WRITE_COPY;
    const bytes = task.process.mm.copyFromUser(buf, COUNT_BYTES);
    if (bytes === undefined) return -EFAULT;
    yield WRITE_CONTROL;
    const { info } = this.device;
    if (info === undefined) return -EINVAL;
    if (info.irq === undefined) return -EIO;
    if (info.irqcontrol === undefined) return -ENOSYS;
    const error = info.irqcontrol(new DataView(bytes.buffer).getInt32(0, true));
    return error === 0 ? COUNT_BYTES : error;
  }

  /** N6: the offset, in pages, is the number of the map. */
  mmap(_file: File, _task: Task, request: MmapRequest): PhysicalAddress | number {
    const index = Number(request.offset) / PAGE_SIZE;
    return this.device.mmap(index < MAX_UIO_MAPS ? this.device.info?.mem[index] : undefined, request);
  }

  /** N7 */
  fasync(file: File, on: boolean): void {
    this.device.asyncQueue.set(file, on);
  }

  /** noop_llseek() */
  llseek(file: File): number {
    return file.position;
  }

  *release(): Steps<void> {
    yield RELEASE;
    this.device.info?.release?.();
  }
}
