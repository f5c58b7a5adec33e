import {
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EFAULT,
  EINTR,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENOTTY,
  ETIMEDOUT,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { BusSegment, DmaDevice, DmaMapping } from '../machine/dma-api.ts';
import type { Frame } from '../machine/memory.ts';
import { S_IFCHR } from './dentry.ts';
import { EDU_BUFFER_SIZE, type EduHardware, type EduKernel } from './edu-hardware.ts';
import type { File, FileOperations } from './file.ts';
import type { MmStruct } from './mm.ts';
import { ERESTARTSYS } from './scheduler.ts';
import { SCHEDULE, type Steps, step } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { pagesOf, scatterlistOf } from './usr-pci.ts';
import type { Inode } from './vfs.ts';
import { WaitQueueHead } from './wait-queue.ts';

const COPY_IN = step('edu_dio.copy_from_user');
const LOCK = step('edu_dio.lock');
const PIN = step('edu_dio.pin');
const MAP = step('edu_dio.map');
const START = step('edu_dio.start');
const LOOK = step('edu_dio.look');
const STOP = step('edu_dio.stop');
const COPY_OUT = step('edu_dio.copy_to_user');

/**
 * _IOWR('E', 0xd0, struct edu_dio_transfer): moves bytes between the device's buffer and memory of the caller, as the sample
 * module of that name does (packages/kernel-patch/samples/edu_dio.h).
 */
export const EDU_DIO_TRANSFER = 0xc028_45d0;

/** Where the members of struct edu_dio_transfer are (LP64, 40 bytes). */
export const EDU_DIO = {
  /** 64 bits: start of the memory. Any alignment. */
  addr: 0,
  /** 64 bits: bytes. */
  size: 8,
  /** 64 bits: offset in the device's buffer, which goes on from its start where it ends. */
  position: 16,
  /** 32 bits: DMA_TO_DEVICE or DMA_FROM_DEVICE. */
  direction: 24,
  /** 32 bits: milliseconds for each wait, > 0. */
  timeoutMs: 28,
  /** 64 bits: filled in, also where the call fails: bytes of the chunks that were moved. */
  transferred: 32,
  length: 40,
} as const;

/** How often a device that was stopped is asked whether it is through. */
const RECOVERY_MS = 10;
const NS_IN_MS = 1e6;

/** What a call asks for. */
interface Transfer {
  readonly addr: VirtualAddress;
  readonly size: number;
  /** In the buffer. */
  readonly position: number;
  readonly direction: typeof DMA_TO_DEVICE | typeof DMA_FROM_DEVICE;
  readonly timeoutNs: number;
}

/**
 * Direct I/O in the kernel, as S4 has it: a character device whose ioctl moves bytes straight between edu and user memory. One
 * transfer at a time, cut into chunks of at most the device's buffer; for each the pages are pinned, mapped, moved one entry of
 * the scatterlist after the other, unmapped and unpinned. The interrupt handler only wakes. What M8 lists is done right: the
 * offset in the first page, a single page, a short pin, mapping and dirtying, and the device is stopped before it loses memory.
 *
 * ENOTTY another request; EFAULT a bad pointer, or a part of the memory that is not there; EINVAL; ETIMEDOUT the device
 * stalled; EINTR a signal; EIO the bus refused; ENODEV the device has gone; ENOMEM.
 */
export class EduDirectIo implements FileOperations, Inode {
  readonly mode = S_IFCHR | 0o600;
  readonly #hardware: EduHardware;
  readonly #kernel: EduKernel;
  readonly #dma: DmaDevice;
  readonly #queue = new WaitQueueHead();
  #busy = false;

  constructor(hardware: EduHardware, kernel: EduKernel, dma: DmaDevice) {
    this.#hardware = hardware;
    this.#kernel = kernel;
    this.#dma = dma;
  }

  *open(): Steps<FileOperations | number> {
    return this.#hardware.gone ? -ENODEV : this;
  }

  *ioctl(_file: File, task: Task, request: number, argp: VirtualAddress): Steps<number> {
    if (request !== EDU_DIO_TRANSFER) return -ENOTTY;
    yield COPY_IN;
    const { mm } = task.process;
    const bytes = mm.copyFromUser(argp, EDU_DIO.length);
    if (bytes === undefined) return -EFAULT;
    const transfer = readTransfer(new DataView(bytes.buffer));
    if (transfer === undefined) return -EINVAL;
    if (!mm.accessOk(transfer.addr, transfer.size)) return -EFAULT;
    if (!(yield* this.#lock(task))) return -ERESTARTSYS;
    let transferred = 0;
    let error = 0;
    while (error === 0 && transferred < transfer.size) {
      const moved: number = yield* this.#chunk(task, transfer, transferred);
      if (moved < 0) error = moved;
      else transferred += moved;
    }
    this.#unlock();
    yield COPY_OUT;
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, BigInt(transferred), true);
    const copied = mm.copyToUser(virtualAddress(argp + BigInt(EDU_DIO.transferred)), out);
    return error === 0 && !copied ? -EFAULT : error;
  }

  /** Bytes moved, all of the chunk; or -errno, and the memory is nobody's but the process's. */
  *#chunk(task: Task, transfer: Transfer, done: number): Steps<number> {
    const { mm } = task.process;
    const { direction } = transfer;
    const position = (transfer.position + done) % EDU_BUFFER_SIZE;
    const addr = transfer.addr + BigInt(done);
    const size = Math.min(EDU_BUFFER_SIZE - position, transfer.size - done);
    const pages = yield* this.#pin(mm, addr, size, direction);
    if (typeof pages === 'number') return pages;
    yield MAP;
    const mapping = this.#hardware.gone ? undefined : this.#dma.mapSg(scatterlistOf(addr, size, pages), direction);
    if (mapping === undefined) {
      this.#unpin(pages, false);
      return this.#hardware.gone ? -ENODEV : -ENOMEM;
    }
    let error = 0;
    let at = position;
    for (const segment of mapping.segments) {
      error = yield* this.#run(task, transfer, segment, at);
      if (error < 0) break;
      at += segment.length;
    }
    if (error < 0) {
      // The device first, its memory then (M8).
      yield STOP;
      this.#hardware.stop();
    }
    this.#takeBack(mapping, pages);
    return error < 0 ? error : size;
  }

  /** M7: exactly the pages that the chunk has a part of, or an error and none of them. */
  *#pin(mm: MmStruct, addr: bigint, size: number, direction: number): Steps<Frame[] | number> {
    if (this.#kernel.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    yield PIN;
    const count = pagesOf(addr, size);
    if (!mm.mmapLock.tryAcquire()) yield* mm.mmapLock.acquire();
    // Not for long: nothing is counted against RLIMIT_MEMLOCK.
    const pages = yield* mm.pinUserPages(addr, count, { write: direction === DMA_FROM_DEVICE, longterm: false });
    mm.mmapLock.release();
    if (pages.length === count) return pages;
    this.#unpin(pages, false);
    return -EFAULT;
  }

  #takeBack(mapping: DmaMapping, pages: readonly Frame[]): void {
    this.#dma.unmapSg(mapping);
    this.#unpin(pages, mapping.direction === DMA_FROM_DEVICE);
  }

  #unpin(pages: readonly Frame[], dirty: boolean): void {
    for (const page of pages) {
      if (dirty) page.dirty = true;
      this.#kernel.memory.unpin(page);
    }
  }

  /** One entry of the scatterlist: started, waited for. 0 or -errno. */
  *#run(task: Task, { direction, timeoutNs }: Transfer, segment: BusSegment, at: number): Steps<number> {
    const hardware = this.#hardware;
    const deadline = this.#kernel.clock.now + timeoutNs;
    while (hardware.stopped) {
      if (hardware.gone) return -ENODEV;
      if (!hardware.busy()) hardware.restart();
      else if (this.#kernel.clock.now >= deadline) return -ETIMEDOUT;
      else if (yield* this.#sleep(task, RECOVERY_MS * NS_IN_MS, () => false)) return -EINTR;
    }
    yield START;
    hardware.start(direction === DMA_TO_DEVICE, segment, at);
    const over = (): boolean => hardware.gone || hardware.done;
    while (!over()) {
      const left = deadline - this.#kernel.clock.now;
      // An interrupt that got lost is no stall: the device is asked before it is given up.
      if (left <= 0) {
        if (hardware.acknowledge()) break;
        return hardware.gone ? -ENODEV : -ETIMEDOUT;
      }
      if ((yield* this.#sleep(task, left, over)) && !over()) return -EINTR;
    }
    if (hardware.gone) return -ENODEV;
    if (!hardware.refused()) return 0;
    return hardware.gone ? -ENODEV : -EIO;
  }

  /** wait_event_interruptible_timeout(): until the condition holds or the time is up. True: a signal came. */
  *#sleep(task: Task, ns: number, over: () => boolean): Steps<boolean> {
    const { wait } = this.#hardware;
    const timer = this.#kernel.clock.after(ns, () => task.wakeUp());
    wait.add(task.waiter);
    task.state = TASK_INTERRUPTIBLE;
    yield LOOK;
    if (over() || task.signalPending) task.state = TASK_RUNNING;
    yield SCHEDULE;
    task.state = TASK_RUNNING;
    wait.remove(task.waiter);
    timer.cancel();
    return task.signalPending;
  }

  /** mutex_lock_interruptible(). False: a signal came, and nothing is held. */
  *#lock(task: Task): Steps<boolean> {
    yield LOCK;
    while (this.#busy) {
      this.#queue.add(task.waiter);
      task.state = TASK_INTERRUPTIBLE;
      yield LOOK;
      if (!this.#busy || task.signalPending) task.state = TASK_RUNNING;
      yield SCHEDULE;
      task.state = TASK_RUNNING;
      this.#queue.remove(task.waiter);
      if (this.#busy && task.signalPending) return false;
    }
    this.#busy = true;
    return true;
  }

  #unlock(): void {
    this.#busy = false;
    this.#queue.wakeUp(-1);
  }
}

function readTransfer(view: DataView): Transfer | undefined {
  const direction = view.getUint32(EDU_DIO.direction, true);
  const timeoutMs = view.getUint32(EDU_DIO.timeoutMs, true);
  if (direction !== DMA_TO_DEVICE && direction !== DMA_FROM_DEVICE) return undefined;
  if (timeoutMs === 0) return undefined;
  return {
    addr: virtualAddress(view.getBigUint64(EDU_DIO.addr, true)),
    // What a number does not hold exactly fits no address space.
    size: Number(view.getBigUint64(EDU_DIO.size, true)),
    position: Number(view.getBigUint64(EDU_DIO.position, true) % BigInt(EDU_BUFFER_SIZE)),
    direction,
    timeoutNs: timeoutMs * NS_IN_MS,
  };
}
