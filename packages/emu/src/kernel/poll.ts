import { EFAULT, EINVAL, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDNORM, type PollFd } from '@usrdrv/core';
import type { Timer, VirtualClock } from '../machine/clock.ts';
import type { File, PollTable } from './file.ts';
import { ERESTARTNOHAND } from './scheduler.ts';
import { SCHEDULE, type Steps } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import type { WaitQueueEntry, WaitQueueHead } from './wait-queue.ts';

const POLLWRNORM = 0x100;
/** What a file without a poll operation is: always ready. */
const DEFAULT_POLLMASK = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

const NANOSECONDS_IN_MS = 1_000_000;

/** What poll(2) is asked about one descriptor, and what it found: the kernel's copy of the caller's entry. */
export interface PollRequest {
  readonly entry: PollFd;
  readonly fd: number;
  readonly events: number;
  revents: number;
}

/** Copies the list in: EINVAL where it is longer than `limit`, EFAULT where something in it is no entry to write to. */
export function pollRequests(fds: readonly PollFd[], limit: number): PollRequest[] | number {
  if (!Array.isArray(fds)) return -EFAULT;
  if (fds.length > limit) return -EINVAL;
  const requests: PollRequest[] = [];
  for (const entry of fds as readonly PollFd[]) {
    if (typeof entry !== 'object' || entry === null || Object.isFrozen(entry)) return -EFAULT;
    const { fd, events } = entry;
    if (!Number.isInteger(fd) || !Number.isInteger(events)) return -EFAULT;
    requests.push({ entry, fd, events: events & 0xffff, revents: 0 });
  }
  return requests;
}

/** A timeout as virtual nanoseconds; undefined waits for ever, as a time does that no clock will reach. */
export function nanoseconds(ms: number): number | undefined {
  const ns = ms * NANOSECONDS_IN_MS;
  return ns <= Number.MAX_SAFE_INTEGER ? ns : undefined;
}

/**
 * do_poll(): calls every file's poll operation on each pass, also on the one that a timeout causes (P10). Only the first
 * pass registers, and only as long as nothing is ready. Never restarted (ERESTARTNOHAND).
 */
export function* poll(
  task: Task,
  clock: VirtualClock,
  requests: readonly PollRequest[],
  timeout: number | undefined,
): Steps<number> {
  const { files } = task.process;
  const queues = new PollQueues(task, clock, timeout);
  let result: number;
  do {
    result = 0;
    for (const request of requests) {
      request.revents = 0;
      if (request.fd < 0) continue;
      const file = files.get(request.fd);
      const wanted = request.events | POLLERR | POLLHUP;
      request.revents = file === undefined ? POLLNVAL : (yield* queues.poll(file, wanted)) & wanted;
      if (request.revents === 0) continue;
      result++;
      queues.register = false;
    }
    if (result === 0 && task.signalPending) result = -ERESTARTNOHAND;
  } while (result === 0 && (yield* queues.sleep()));
  yield* queues.free();
  return result;
}

/** The poll mask of a file. */
export function* filePoll(file: File, task: Task, table: PollTable | undefined): Steps<number> {
  return file.ops.poll === undefined ? DEFAULT_POLLMASK : yield* file.ops.poll(file, task, table);
}

/** What one poll(2) or select(2) waits for (struct poll_wqueues). It holds the files that it is registered with (P8). */
export class PollQueues implements PollTable {
  /** Whether files are still told whom to wake: until something is ready, or the first pass is over. */
  register: boolean;
  /** A wake-up came since the last sleep. */
  triggered = false;
  readonly task: Task;
  readonly #entries: PollEntry[] = [];
  readonly #timer: Timer | undefined;
  #timedOut: boolean;
  /** Whose poll operation runs, and what its waiter wants to hear of. */
  #file: File | undefined = undefined;
  #wanted = 0;

  constructor(task: Task, clock: VirtualClock, timeout: number | undefined) {
    this.task = task;
    this.#timedOut = timeout === 0;
    this.register = !this.#timedOut;
    this.#timer = timeout === undefined || timeout === 0 ? undefined : clock.after(timeout, () => this.#expire());
  }

  /** The poll mask of a file; a wake-up with one of the `wanted` bits will end the sleep. */
  *poll(file: File, wanted: number): Steps<number> {
    if (file.ops.poll === undefined) return DEFAULT_POLLMASK;
    this.#file = file;
    this.#wanted = wanted;
    file.refs++;
    const mask = yield* file.ops.poll(file, this.task, this.register ? this : undefined);
    if (file.refs > 1) file.refs--;
    else yield* file.put(this.task);
    return mask;
  }

  wait(head: WaitQueueHead): void {
    if (this.#file === undefined) return;
    this.#file.refs++;
    const entry = new PollEntry(this, this.#file, head, this.#wanted);
    head.add(entry);
    this.#entries.push(entry);
  }

  /** Sleeps until there is a reason for another pass. False where the time was up before: there is none. */
  *sleep(): Steps<boolean> {
    this.register = false;
    if (this.#timedOut) return false;
    const { task } = this;
    task.state = TASK_INTERRUPTIBLE;
    if (this.triggered || task.signalPending) task.state = TASK_RUNNING;
    yield SCHEDULE;
    task.state = TASK_RUNNING;
    this.triggered = false;
    return true;
  }

  /** poll_freewait() */
  *free(): Steps<void> {
    this.#timer?.cancel();
    for (const entry of this.#entries) yield* entry.leave().put(this.task);
  }

  #expire(): void {
    this.#timedOut = true;
    this.triggered = true;
    this.task.wakeUp();
  }
}

class PollEntry implements WaitQueueEntry {
  readonly #queues: PollQueues;
  readonly file: File;
  readonly #head: WaitQueueHead;
  readonly #wanted: number;

  constructor(queues: PollQueues, file: File, head: WaitQueueHead, wanted: number) {
    this.#queues = queues;
    this.file = file;
    this.#head = head;
    this.#wanted = wanted;
  }

  wake(key: number): void {
    if ((key & this.#wanted) === 0) return;
    this.#queues.triggered = true;
    this.#queues.task.wakeUp();
  }

  leave(): File {
    this.#head.remove(this);
    return this.file;
  }
}
