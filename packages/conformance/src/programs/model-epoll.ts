import {
  EEXIST,
  EINVAL,
  ENOENT,
  EPERM,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLONESHOT,
} from '@usrdrv/core';
import type { ModelFile } from './model.ts';
import { failed, type Prediction } from './prediction.ts';
import type { CallOf } from './program.ts';

/** Bits that say how to report, not what. */
const HOW = EPOLLET | EPOLLONESHOT;

/** What a set watches: a file under the number that it had. */
interface Item {
  readonly file: ModelFile;
  readonly fd: number;
  events: number;
  /** Its file never tells it that it interrupts. */
  deaf: boolean;
}

/** P14: what the rules say of one epoll set. */
export class ModelEpoll {
  #items: Item[] = [];
  /** Items that may be ready: they are asked before they are reported. */
  #ready = new Set<Item>();

  constructor(private readonly poll: (file: ModelFile) => number) {}

  /** epoll_ctl of a set, or of something that is none. */
  static control(
    set: ModelEpoll | undefined,
    file: ModelFile,
    { op, fd, events }: CallOf<'epoll_ctl'>,
    deaf: boolean,
  ): Prediction {
    if (file.kind === 'pci') return failed(EPERM);
    if (set === undefined) return failed(EINVAL);
    const item = set.#items.find((each) => each.file === file && each.fd === fd);
    if (op === EPOLL_CTL_ADD) return item === undefined ? set.#add({ file, fd, events, deaf }) : failed(EEXIST);
    if (op !== EPOLL_CTL_DEL && op !== EPOLL_CTL_MOD) return failed(EINVAL);
    if (item === undefined) return failed(ENOENT);
    if (op === EPOLL_CTL_DEL) set.#remove(item);
    else set.#ask(Object.assign(item, { events }));
    return '0';
  }

  /** The file interrupts: items of it may be ready, but for the ones that are spent (EPOLLONESHOT). */
  wake(file: ModelFile): void {
    for (const item of this.#items) {
      if (item.file === file && !item.deaf && (item.events & ~HOW) !== 0) this.#ready.add(item);
    }
  }

  /** The file is gone. */
  forget(file: ModelFile): void {
    for (const item of this.#items.filter((each) => each.file === file)) this.#remove(item);
  }

  /** epoll_wait: the numbers of those that are ready. Asking is what unmasks (P14). */
  send(): number[] {
    const asked = this.#ready;
    this.#ready = new Set();
    const sent: number[] = [];
    for (const item of asked) {
      if ((this.poll(item.file) & item.events & ~HOW) === 0) continue;
      sent.push(item.fd);
      if ((item.events & EPOLLONESHOT) !== 0) item.events &= HOW;
      else if ((item.events & EPOLLET) === 0) this.#ready.add(item);
    }
    return sent.sort((a, b) => a - b);
  }

  #add(item: Item): Prediction {
    this.#items.push(item);
    this.#ask(item);
    return '0';
  }

  /** Adding and changing asks, and so unmasks. */
  #ask(item: Item): void {
    if ((this.poll(item.file) & item.events & ~HOW) !== 0) this.#ready.add(item);
  }

  #remove(item: Item): void {
    this.#items = this.#items.filter((each) => each !== item);
    this.#ready.delete(item);
  }
}
