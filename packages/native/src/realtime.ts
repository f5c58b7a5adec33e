import { checkResult, EINTR, type IrqSource, O_RDONLY, SystemError } from '@usrdrv/core';
import { FileIrqSource } from '@usrdrv/core/backend-parts';
import { type Addon, addon } from './addon.ts';
import { irqPath, kernelInterface } from './kernel-interface.ts';

export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;

/** What S1 leaves above a handler: room for the threads that keep the machine alive. */
const BELOW_MAX = 10;
/** What a read of the irq file gives: one native int (P2). */
const COUNT_BYTES = 4;

/**
 * Keeps the program, its libraries and their data from being paged out, for the whole process: mlockall(2) but for the
 * JavaScript heap. Node aborts when V8 cannot give back a page that is locked (madvise(2) refuses). Without swap the heap
 * stays in memory anyway.
 * @throws SystemError ENOMEM over RLIMIT_MEMLOCK; EPERM. Nothing is locked then
 */
export function lockMemory(): void {
  checkResult(addon().lockMemory(), 'mlock');
}

/**
 * Lets the calling thread, a worker, run before everything of a lower priority (sched_setscheduler(2)).
 * @param priority 0 for SCHED_OTHER; for SCHED_FIFO as S1 has it where it is left out: the highest less 10
 * @throws SystemError EPERM without CAP_SYS_NICE; EINVAL a policy or priority that is none
 */
export function setScheduler(policy: number = SCHED_FIFO, priority = defaultPriority(policy)): void {
  checkResult(addon().schedSetscheduler(policy, priority), 'sched_setscheduler');
}

function defaultPriority(policy: number): number {
  const most = checkResult(addon().schedGetPriorityMax(policy), 'sched_get_priority_max');
  return Math.max(0, most - BELOW_MAX);
}

/**
 * An interrupt for a worker that does nothing else (S1): `readSync` sleeps in the kernel, and there is no event loop between the
 * interrupt and the next statement.
 *
 * @example
 * ```ts no-run: sleeps until a device interrupts
 * import { workerData } from 'node:worker_threads';
 * import { lockMemory, RealtimeIrq, setScheduler } from '@usrdrv/native/realtime';
 *
 * // In a worker. What `device.irq().line` said, before that source was closed: a line is open once.
 * const line: number = workerData;
 * lockMemory();
 * setScheduler();
 * using irq = new RealtimeIrq(line);
 * for (;;) {
 *   const count = irq.readSync();
 *   console.log(count); // in its place: acknowledge the device
 * }
 * ```
 */
export class RealtimeIrq implements Disposable {
  readonly line: number;
  readonly #source: SyncSource;
  #closed = false;

  /**
   * @param from the number of a line, for /proc/irq/N/irq; or a source of this thread's, of any backend over Linux, which is
   *   this object's from now on
   * @throws RangeError a line that is no integer >= 0
   * @throws TypeError a source that is no file of Linux
   * @throws SystemError of the open(2) (P6)
   */
  constructor(from: number | IrqSource) {
    this.#source = typeof from === 'number' ? new LineSource(from) : fileSource(from);
    this.line = this.#source.line;
    // So that a worker that sleeps here can be terminated.
    if (openSources++ === 0) addon().watchdog(true);
  }

  /**
   * Sleeps until there is an interrupt, and takes the count. The whole JavaScript thread sleeps: timers, promises and
   * messages of it wait too, and so does word of a device that is to be given back. `worker.terminate()` and
   * `process.exit()` end the sleep, within 50 ms.
   * @returns interrupts since the last read, >= 1
   * @throws SystemError EBADF when closed; ENODEV when the device is removed; EBUSY a read of the source waits; ENOSYS an IIO
   *   node
   */
  readSync(): number {
    for (;;) {
      const count = this.#source.readSync();
      // Where there is none, a thread that was told to end does, back in JavaScript.
      if (count !== undefined) return count;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (--openSources === 0) addon().watchdog(false);
    this.#source.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What is open in this thread: while there is any, the watchdog is on. */
let openSources = 0;

interface SyncSource {
  readonly line: number;
  readSync(): number | undefined;
  close(): void;
}

function fileSource(source: IrqSource): SyncSource {
  if (source instanceof FileIrqSource) return source;
  throw new TypeError('the source is no file of Linux');
}

/** /proc/irq/N/irq, without what else a backend has around it. */
class LineSource implements SyncSource {
  readonly line: number;
  readonly #path: string;
  readonly #native: Addon;
  #fd: number;

  constructor(line: number) {
    if (!Number.isSafeInteger(line) || line < 0) {
      throw new RangeError(`an interrupt line is an integer >= 0, not ${String(line)}`);
    }
    this.line = line;
    this.#path = irqPath(kernelInterface(), `/proc/irq/${line}/irq`);
    this.#native = addon();
    this.#fd = checkResult(this.#native.open(this.#path, O_RDONLY), 'open', this.#path);
  }

  readSync(): number | undefined {
    const result = this.#native.readCount(this.#fd, COUNT_BYTES);
    if (result > 0) return result;
    if (result !== -EINTR) throw SystemError.fromResult(result, 'read', this.#path);
    return undefined;
  }

  close(): void {
    this.#native.close(this.#fd);
    this.#fd = -1;
  }
}
