import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOSYS,
  O_NONBLOCK,
  type PhysicalAddress,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
  type VirtualAddress,
} from '@usrdrv/core';
import { type DirectoryEntry, S_IFCHR } from './dentry.ts';
import { defaultLlseek, type File, type FileOperations, type MmapRequest, type PollTable } from './file.ts';
import type { PhysicalBus } from './mmio-mapping.ts';
import { ERESTARTSYS } from './scheduler.ts';
import { SCHEDULE, type Steps, step } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { UioClass, type UioClassKernel } from './uio-class.ts';
import type { UioDevice } from './uio-device.ts';
import type { Inode } from './vfs.ts';

const READ_ENQUEUE = step('iio_read.enqueue');
const READ_LOOK = step('iio_read.look');
const READ_COPY = step('iio_read.copy');
const READ_DEQUEUE = step('iio_read.dequeue');
const POLL_WAIT = step('iio_poll.wait');
const POLL_LOOK = step('iio_poll.look');
const WRITE_COPY = step('iio_write.copy');
const WRITE_EVENT = step('iio_write.event_write');

const READABLE = POLLIN | POLLRDNORM;
/** S5: an event is one byte. What it says is not stated: 1 here. */
const EVENT = Uint8Array.of(1);

/** What IIO reaches the device's registers by, when user space reads and writes the node instead of mapping it. */
export interface IioKernel extends UioClassKernel {
  readonly bus: PhysicalBus;
}

/**
 * IIO, which became UIO (S5): two nodes a device, /dev/iioN for its memory and /dev/iioN_event for its interrupts. Errors are
 * UIO's, with a length of 1 in place of 4. Not stated, and as in UIO here: each open hears of every event, from its open on.
 */
export class Iio extends UioClass {
  readonly name = 'iio';

  constructor(private readonly iioKernel: IioKernel) {
    super(iioKernel);
  }

  *nodes({ minor }: UioDevice): Iterable<DirectoryEntry> {
    const node = (open: (device: UioDevice) => FileOperations): Inode => ({
      mode: S_IFCHR | 0o600,
      open: () => this.#open(minor, open),
    });
    yield { name: `iio${minor}`, child: node((device) => new IioMemory(device, this.iioKernel.bus)) };
    yield { name: `iio${minor}_event`, child: node((device) => new IioEvents(device)) };
  }

  *#open(minor: number, open: (device: UioDevice) => FileOperations): Steps<FileOperations | number> {
    const device = this.device(minor);
    if (device?.info === undefined) return -ENODEV;
    const error = device.info.open?.() ?? 0;
    return error < 0 ? error : open(device);
  }
}

/** /dev/iioN: the device's first region of memory, or its ports, byte by byte or mapped. */
class IioMemory implements FileOperations {
  constructor(
    private readonly device: UioDevice,
    private readonly bus: PhysicalBus,
  ) {}

  *read(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    const bytes = new Uint8Array(this.#length(file.position, count));
    const start = this.device.info?.mem[0]?.addr;
    for (const { at, width } of accesses(file.position, bytes.length)) {
      const value = start === undefined ? -1n : BigInt(this.bus.mmioRead(start + at, width));
      for (let byte = 0; byte < width; byte++)
        bytes[at - file.position + byte] = Number((value >> BigInt(8 * byte)) & 0xffn);
    }
    if (!task.process.mm.copyToUser(buf, bytes)) return -EFAULT;
    file.position += bytes.length;
    return bytes.length;
  }

  *write(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    const bytes = task.process.mm.copyFromUser(buf, this.#length(file.position, count));
    if (bytes === undefined) return -EFAULT;
    const start = this.device.info?.mem[0]?.addr;
    for (const { at, width } of accesses(file.position, bytes.length)) {
      let value = 0;
      for (let byte = width - 1; byte >= 0; byte--) value = value * 256 + (bytes[at - file.position + byte] ?? 0);
      if (start !== undefined) this.bus.mmioWrite(start + at, width, value);
    }
    file.position += bytes.length;
    return bytes.length;
  }

  mmap(_file: File, _task: Task, request: MmapRequest): PhysicalAddress | number {
    return request.offset === 0n ? this.device.mmap(this.device.info?.mem[0], request) : -EINVAL;
  }

  llseek(file: File, offset: number, whence: number): number {
    return defaultLlseek(file, offset, whence);
  }

  *release(): Steps<void> {
    this.device.info?.release?.();
  }

  /** How much of a transfer lies within the region. */
  #length(position: number, count: number): number {
    const { mem, port } = this.device.info ?? {};
    const size = mem?.[0]?.size ?? port?.[0]?.size ?? 0;
    return Math.max(0, Math.min(count, size - position));
  }
}

/** The accesses that a range becomes, as memcpy_fromio() makes them: aligned, of 4 bytes where they fit. */
function* accesses(start: number, length: number): Iterable<{ readonly at: number; readonly width: 1 | 2 | 4 }> {
  for (let at = start; at < start + length; ) {
    const left = start + length - at;
    const width = at % 4 === 0 && left >= 4 ? 4 : at % 2 === 0 && left >= 2 ? 2 : 1;
    yield { at, width };
    at += width;
  }
}

/** /dev/iioN_event: a byte for each interrupt that the stub handled, and event_write. */
class IioEvents implements FileOperations {
  /** Events that have been read, or came before the open. */
  #read: number;

  constructor(private readonly device: UioDevice) {
    this.#read = device.event;
  }

  *read(file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (count !== EVENT.length) return -EINVAL;
    const { device } = this;
    const entry = task.waiter;
    yield READ_ENQUEUE;
    device.wait.add(entry);
    let result: number | undefined;
    while (result === undefined) {
      task.state = TASK_INTERRUPTIBLE;
      yield READ_LOOK;
      if (device.info?.irq === undefined) {
        result = -EIO;
      } else if (device.event !== this.#read) {
        task.state = TASK_RUNNING;
        yield READ_COPY;
        result = task.process.mm.copyToUser(buf, EVENT) ? EVENT.length : -EFAULT;
        if (result > 0) this.#read = (this.#read + 1) | 0;
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

  *poll(_file: File, _task: Task, table: PollTable | undefined): Steps<number> {
    const { device } = this;
    yield POLL_WAIT;
    table?.wait(device.wait);
    yield POLL_LOOK;
    if (device.info?.irq === undefined) return READABLE | POLLERR | POLLHUP;
    return this.#read === device.event ? 0 : READABLE;
  }

  *write(_file: File, task: Task, buf: VirtualAddress, count: number): Steps<number> {
    if (count !== EVENT.length) return -EINVAL;
    yield WRITE_COPY;
    const bytes = task.process.mm.copyFromUser(buf, EVENT.length);
    if (bytes === undefined) return -EFAULT;
    yield WRITE_EVENT;
    const { info } = this.device;
    if (info?.irq === undefined) return -EIO;
    if (info.irqcontrol === undefined) return -ENOSYS;
    const error = info.irqcontrol(bytes[0] ?? 0);
    return error === 0 ? EVENT.length : error;
  }

  fasync(file: File, on: boolean): void {
    this.device.asyncQueue.set(file, on);
  }

  *release(): Steps<void> {
    this.device.info?.release?.();
  }
}
