import {
  checkResult,
  ENODEV,
  type Interruptible,
  type MaySleep,
  O_NONBLOCK,
  POLLIN,
  type PollFd,
  SystemError,
  type UserProcess,
  type UserThread,
} from '@usrdrv/core';
import {
  AnonymousMemory,
  closeEach,
  type InterruptFile,
  immediate,
  type PolledFile,
  SyncReads,
  takeWhenReady,
} from '@usrdrv/core/backend-parts';
import { addon } from '../addon.ts';

/** An eventfd's count: 64 bits. */
const COUNT_BYTES = 8;

/** What is done with the kernel's side of an interrupt. */
export interface IrqWiring {
  /** Has the kernel let the line through again, which it masked as it fired; left out where it masks nothing (V7). */
  readonly unmask?: () => void;
  /** The eventfd is nobody's from now on. */
  readonly disarm: () => void;
}

/**
 * An interrupt of a device: the eventfd that the kernel counts it in. Several that came since the last read are one number,
 * so a listener is never too slow for them.
 */
export class VfioIrqFile implements InterruptFile, PolledFile {
  readonly path: string;
  readonly fd: number;
  readonly thread: UserThread;
  readonly fds: readonly [PollFd];
  readonly bytes = COUNT_BYTES;
  readonly #memory: AnonymousMemory;
  readonly #view: DataView;
  readonly #sync: SyncReads;
  /** Once it has been armed. */
  #wiring: IrqWiring | undefined;
  /** Fired, taken, and not let through again: the eventfd is empty and stays so. */
  #masked = false;
  #removed = false;

  /** @throws SystemError EMFILE, ENFILE, ENOMEM */
  constructor(process: UserProcess, path: string) {
    this.path = path;
    this.thread = process.thread;
    this.fd = checkResult(addon().eventfd(0, O_NONBLOCK), 'eventfd', path);
    this.#sync = new SyncReads(this.thread, this.fd, COUNT_BYTES);
    this.fds = [{ fd: this.fd, events: POLLIN, revents: 0 }];
    try {
      this.#memory = new AnonymousMemory(process, COUNT_BYTES);
      this.#view = this.#memory.view();
    } catch (error) {
      this.thread.close(this.fd);
      throw error;
    }
  }

  /** The kernel counts in it from now on, and the line is unmasked. */
  armed(wiring: IrqWiring): void {
    this.#wiring = wiring;
    this.#masked = false;
  }

  read(o: Interruptible): MaySleep {
    if (this.#removed) return -ENODEV;
    this.#sync.end();
    this.letThrough();
    return takeWhenReady(this, o);
  }

  tryRead(): number {
    if (this.#removed) return -ENODEV;
    this.#sync.end();
    this.letThrough();
    return this.take();
  }

  readSync(): number {
    if (this.#removed) return -ENODEV;
    this.letThrough();
    const count = this.#sync.read();
    if (count > 0) this.#masked = true;
    return count;
  }

  taken(result: number): number {
    if (this.#removed) {
      // Whoever polls is to hear of it as well.
      this.#signal();
      throw new SystemError('ENODEV', 'read', { path: this.path, detail: 'the device was removed' });
    }
    const count = checkResult(result, 'read', this.path);
    this.#masked = true;
    return count;
  }

  take(): number {
    const result = immediate(this.thread.read(this.fd, this.#memory.address, COUNT_BYTES), 'read');
    return result < 0 ? result : Number(this.#view.getBigUint64(0, true));
  }

  poll(timeoutMs: number, o: Interruptible): MaySleep {
    this.letThrough();
    return this.thread.poll(this.fds, timeoutMs, o);
  }

  /** The device is given back: whoever waits, or will, hears of it. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#wiring = undefined;
    this.#signal();
  }

  close(): void {
    const wiring = this.#wiring;
    this.#wiring = undefined;
    closeEach([
      { close: () => wiring?.disarm() },
      { close: () => checkResult(this.thread.close(this.fd), 'close', this.path) },
      this.#memory,
    ]);
  }

  /** Before a wait, or where somebody asks and there is nothing: not before the last count has been taken. */
  letThrough(): void {
    if (!this.#masked) return;
    this.#masked = false;
    this.#wiring?.unmask?.();
  }

  #signal(): void {
    this.#view.setBigUint64(0, 1n, true);
    immediate(this.thread.write(this.fd, this.#memory.address, COUNT_BYTES), 'write');
  }
}
