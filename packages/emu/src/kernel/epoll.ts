import {
  EEXIST,
  EINVAL,
  ENOENT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLONESHOT,
  type EpollEvent,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
} from '@usrdrv/core';
import type { VirtualClock } from '../machine/clock.ts';
import type { File, FileOperations, FileWatcher, PollTable } from './file.ts';
import { filePoll } from './poll.ts';
import { ERESTARTNOHAND } from './scheduler.ts';
import { SCHEDULE, type Steps } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { type WaitQueueEntry, WaitQueueHead } from './wait-queue.ts';

/** The bits of an item's events that say how to report, not what. */
const EP_PRIVATE_BITS = EPOLLONESHOT | EPOLLET | (1 << 29) | (1 << 28);

/** An epoll set (struct eventpoll), P14. */
export class EventPoll implements FileOperations {
  readonly #items = new Map<File, Map<number, EpItem>>();
  /** Items that may be ready: they are asked again before they are reported. */
  #ready: EpItem[] = [];
  /** Who sleeps in epoll_wait, and who polls the set itself. */
  readonly #wait = new WaitQueueHead();
  readonly #pollWait = new WaitQueueHead();

  /** epoll_ctl(2), from where it knows that `file` can be polled. */
  *control(task: Task, op: number, file: File, fd: number, event: EpollEvent | undefined): Steps<number> {
    // A set within a set is not modelled; a set within itself never was allowed.
    if (file.ops instanceof EventPoll) return -EINVAL;
    const item = this.#items.get(file)?.get(fd);
    if (op === EPOLL_CTL_DEL) {
      if (item === undefined) return -ENOENT;
      this.remove(item);
      return 0;
    }
    if (op === EPOLL_CTL_ADD && isEvent(event)) {
      if (item !== undefined) return -EEXIST;
      return yield* this.#insert(task, file, fd, event);
    }
    if (op === EPOLL_CTL_MOD && isEvent(event)) {
      if (item === undefined) return -ENOENT;
      item.modify(event);
      // Asks again, and so arms: what a one-shot item needs to be heard of once more.
      if (((yield* filePoll(file, task, undefined)) & item.events) !== 0) this.link(item);
      return 0;
    }
    return -EINVAL;
  }

  /** epoll_wait(2): what is ready is appended to `events`. */
  *waitFor(
    task: Task,
    clock: VirtualClock,
    events: EpollEvent[],
    maxevents: number,
    timeout: number | undefined,
  ): Steps<number> {
    const expiry = new Expiry(task, clock, timeout);
    const entry = task.waiter;
    let result = 0;
    for (;;) {
      if (this.#ready.length > 0) result = yield* this.#sendEvents(task, events, maxevents);
      if (result > 0 || expiry.over) break;
      if (task.signalPending) {
        result = -ERESTARTNOHAND;
        break;
      }
      this.#wait.add(entry);
      task.state = TASK_INTERRUPTIBLE;
      if (this.#ready.length > 0 || expiry.over || task.signalPending) task.state = TASK_RUNNING;
      yield SCHEDULE;
      task.state = TASK_RUNNING;
      this.#wait.remove(entry);
    }
    expiry.cancel();
    return result;
  }

  /** The set is readable while an item of it is ready. */
  *poll(_file: File, task: Task, table: PollTable | undefined): Steps<number> {
    table?.wait(this.#pollWait);
    for (const item of [...this.#ready]) {
      if (((yield* filePoll(item.file, task, undefined)) & item.events) !== 0) return POLLIN | POLLRDNORM;
      this.#unlink(item);
    }
    return 0;
  }

  *release(): Steps<void> {
    for (const items of [...this.#items.values()]) for (const item of [...items.values()]) this.remove(item);
  }

  /** ep_poll_callback(): an item may have become ready. */
  link(item: EpItem): void {
    if (!item.linked) {
      item.linked = true;
      this.#ready.push(item);
    }
    this.#wait.wakeUp(POLLIN);
    this.#pollWait.wakeUp(POLLIN);
  }

  /** The item is no longer watched. */
  remove(item: EpItem): void {
    item.leave();
    this.#unlink(item);
    const items = this.#items.get(item.file);
    items?.delete(item.fd);
    if (items?.size === 0) this.#items.delete(item.file);
  }

  *#insert(task: Task, file: File, fd: number, event: EpollEvent): Steps<number> {
    const item = new EpItem(this, file, fd, event);
    const items = this.#items.get(file) ?? new Map<number, EpItem>();
    this.#items.set(file, items.set(fd, item));
    file.watch(item);
    if (((yield* filePoll(file, task, item)) & item.events) !== 0) this.link(item);
    return 0;
  }

  /**
   * ep_send_events(): asks each ready item again. A level-triggered one stays on the list, to be asked by the next wait
   * too; an edge-triggered one is only asked after it has been woken (D8).
   */
  *#sendEvents(task: Task, events: EpollEvent[], maxevents: number): Steps<number> {
    const list = this.#ready;
    this.#ready = [];
    // Off the list, so that a wake-up while they are asked puts them on it again.
    for (const item of list) item.linked = false;
    let sent = 0;
    let at = 0;
    for (; at < list.length && sent < maxevents; at++) {
      const item = list[at];
      if (item === undefined || item.gone) continue;
      const mask = (yield* filePoll(item.file, task, undefined)) & item.events;
      if (mask === 0) continue;
      events.push({ events: mask, data: item.data });
      sent++;
      if ((item.events & EPOLLONESHOT) !== 0) item.events &= EP_PRIVATE_BITS;
      else if ((item.events & EPOLLET) === 0) this.#relink(item);
    }
    const rest = list.slice(at).filter(({ gone }) => !gone);
    for (const item of rest) item.linked = true;
    this.#ready = [...rest, ...this.#ready.filter((item) => !rest.includes(item))];
    if (this.#ready.length > 0) this.#wait.wakeUp(POLLIN);
    return sent;
  }

  #relink(item: EpItem): void {
    if (item.linked) return;
    item.linked = true;
    this.#ready.push(item);
  }

  #unlink(item: EpItem): void {
    item.linked = false;
    this.#ready = this.#ready.filter((other) => other !== item);
  }
}

/** One watched descriptor (struct epitem). It does not hold its file: it goes when the file goes. */
class EpItem implements WaitQueueEntry, PollTable, FileWatcher {
  readonly #set: EventPoll;
  readonly file: File;
  readonly fd: number;
  events: number;
  data: number;
  /** On the set's list of items that may be ready. */
  linked = false;
  /** No longer watched. */
  gone = false;
  readonly #heads: WaitQueueHead[] = [];

  constructor(set: EventPoll, file: File, fd: number, event: EpollEvent) {
    this.#set = set;
    this.file = file;
    this.fd = fd;
    this.events = event.events | POLLERR | POLLHUP;
    this.data = event.data;
  }

  modify(event: EpollEvent): void {
    this.events = event.events | POLLERR | POLLHUP;
    this.data = event.data;
  }

  wait(head: WaitQueueHead): void {
    head.add(this);
    this.#heads.push(head);
  }

  wake(key: number): void {
    // A one-shot item that has been reported is deaf until it is modified.
    if ((this.events & ~EP_PRIVATE_BITS) === 0 || (key & this.events) === 0) return;
    this.#set.link(this);
  }

  fileReleased(): void {
    this.#set.remove(this);
  }

  leave(): void {
    this.gone = true;
    for (const head of this.#heads) head.remove(this);
    this.#heads.length = 0;
    this.file.unwatch(this);
  }
}

/** When a wait is over. */
class Expiry {
  over: boolean;
  readonly cancel: () => void;

  constructor(task: Task, clock: VirtualClock, timeout: number | undefined) {
    this.over = timeout === 0;
    const timer =
      timeout === undefined || this.over
        ? undefined
        : clock.after(timeout, () => {
            this.over = true;
            task.wakeUp();
          });
    this.cancel = () => timer?.cancel();
  }
}

/** What epoll_ctl(2) can be given to watch for. */
export function isEvent(event: EpollEvent | undefined): event is EpollEvent {
  if (typeof event !== 'object' || event === null) return false;
  return Number.isInteger(event.events) && Math.abs(event.events) <= 0xffff_ffff && typeof event.data === 'number';
}
