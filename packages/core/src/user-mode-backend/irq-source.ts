import { checkResult, EAGAIN, EINTR, SystemError } from '../errors.ts';
import type { IrqSource, WaitOptions } from '../irq.ts';
import { closed, closeEach, type OpenResources } from '../open-resources.ts';
import {
  type Interruptible,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  type PollFd,
  type UserModeKernel,
  type UserThread,
} from '../user-mode-kernel.ts';
import { AnonymousMemory, immediate } from './user-memory.ts';

const FOR_EVER = -1;
/** What a read of the file gives: one native int (P2). */
const COUNT_BYTES = 4;

/** A read that waits. */
interface Reader {
  readonly resolve: (count: number) => void;
  readonly reject: (reason: unknown) => void;
  /** Stops listening to the reader's own signal. */
  readonly settle: (() => void) | undefined;
}

/**
 * An interrupt through /proc/irq/N/irq, opened without blocking: poll(2) waits and unmasks (P10), read(2) takes the count.
 *
 * All waiting reads of a source share one poll. It comes first: a read that returned a count left the line masked (P5), so
 * the next has to wait, and asking for a count that is not there would only cost a system call.
 */
export class UserModeIrqSource implements IrqSource {
  readonly line: number;
  readonly #kernel: UserModeKernel;
  readonly #thread: UserThread;
  readonly #path: string;
  readonly #fd: number;
  readonly #pollFds: readonly PollFd[];
  readonly #memory: AnonymousMemory;
  readonly #count: Int32Array;
  readonly #owner: OpenResources<IrqSource>;

  readonly #readers: Reader[] = [];
  #polling = false;
  /** Interrupts the poll of the readers; a new one takes its place after each use. */
  #interrupt = new AbortController();
  #interruptible: Interruptible = { signal: this.#interrupt.signal };
  /** Interrupts the calls of `poll()` when the source is closed. */
  readonly #closing = new AbortController();
  #closed = false;

  /**
   * @throws RangeError a line that is no integer >= 0
   * @throws SystemError of the open(2) (P6); ENOMEM
   */
  constructor(kernel: UserModeKernel, line: number, owner: OpenResources<IrqSource>) {
    if (!Number.isSafeInteger(line) || line < 0) {
      throw new RangeError(`an interrupt line is an integer >= 0, not ${line}`);
    }
    this.line = line;
    this.#kernel = kernel;
    this.#thread = kernel.process.thread;
    this.#owner = owner;
    this.#path = `/proc/irq/${line}/irq`;
    this.#memory = new AnonymousMemory(kernel.process, COUNT_BYTES);
    this.#count = new Int32Array(this.#memory.bytes.buffer, this.#memory.bytes.byteOffset, 1);
    this.#fd = this.#thread.open(this.#path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (this.#fd < 0) {
      this.#memory.close();
      throw SystemError.fromResult(this.#fd, 'open', this.#path);
    }
    this.#pollFds = [{ fd: this.#fd, events: POLLIN, revents: 0 }];
    owner.add(this);
  }

  read(o?: WaitOptions): Promise<number> {
    const signal = o?.signal;
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closed('read', this.#path));
      if (signal === undefined) {
        this.#readers.push({ resolve, reject, settle: undefined });
      } else {
        if (signal.aborted) return reject(signal.reason);
        this.#readers.push(this.#abortable(resolve, reject, signal));
      }
      if (!this.#polling) this.#pollForReaders();
    });
  }

  tryRead(): number | undefined {
    if (this.#closed) throw closed('read', this.#path);
    return this.#take();
  }

  async poll(o: WaitOptions & { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const { signal, timeoutMs = Number.POSITIVE_INFINITY } = o;
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
      throw new RangeError(`a timeout is a number of milliseconds >= 0, not ${timeoutMs}`);
    }
    if (this.#closed) throw closed('poll', this.#path);
    signal?.throwIfAborted();

    if (signal === undefined) return this.#pollUntil(timeoutMs, this.#closing.signal, undefined);

    const either = new AbortController();
    const onAbort = () => either.abort();
    signal.addEventListener('abort', onAbort);
    this.#closing.signal.addEventListener('abort', onAbort);
    try {
      return await this.#pollUntil(timeoutMs, either.signal, signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#closing.signal.removeEventListener('abort', onAbort);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number, void, undefined> {
    while (!this.#closed) {
      let count: number;
      try {
        count = await this.read();
      } catch (error) {
        if (this.#closed) return;
        throw error;
      }
      yield count;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.delete(this);
    this.#rejectReaders(closed('read', this.#path));
    // A poll that sleeps holds the line until it has returned (P8).
    this.#interrupt.abort();
    this.#closing.abort();
    const file = { close: () => checkResult(this.#thread.close(this.#fd), 'close', this.#path) };
    closeEach([file, this.#memory]);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** One read(2): the count, or undefined where there is none. */
  #take(): number | undefined {
    const result = immediate(this.#thread.read(this.#fd, this.#memory.address, COUNT_BYTES), 'read');
    if (result === COUNT_BYTES) {
      const count = this.#count[0] ?? 0;
      // The 2005 kernel can count below zero when other readers of the line race (D1); that is no interrupt.
      return count > 0 ? count : undefined;
    }
    if (result === -EAGAIN) return undefined;
    checkResult(result, 'read', this.#path);
    throw new SystemError('EIO', 'read', { path: this.#path, detail: `${result} of ${COUNT_BYTES} bytes` });
  }

  /** Polls and reads for those who wait, until nobody does or the poll sleeps. */
  #pollForReaders(): void {
    while (this.#readers.length > 0) {
      const result = this.#thread.poll(this.#pollFds, FOR_EVER, this.#interruptible);
      if (typeof result !== 'number') {
        this.#polling = true;
        result.then(this.#onPolled, this.#onFailed);
        return;
      }
      this.#deliver(result);
    }
  }

  readonly #onPolled = (result: number): void => {
    this.#polling = false;
    if (this.#closed) return;
    this.#deliver(result);
    this.#pollForReaders();
  };

  readonly #onFailed = (failure: unknown): void => {
    this.#polling = false;
    this.#rejectReaders(failure);
  };

  /** Gives the count to who waits longest. A failure of the file is everybody's. */
  #deliver(pollResult: number): void {
    if (pollResult === -EINTR || this.#readers.length === 0) return;
    try {
      checkResult(pollResult, 'poll', this.#path);
      const count = this.#take();
      if (count === undefined) {
        this.#checkPresent();
        return;
      }
      const reader = this.#readers.shift();
      reader?.settle?.();
      reader?.resolve(count);
    } catch (failure) {
      this.#rejectReaders(failure);
    }
  }

  /** Readable without a count: the interrupt is gone, and polling again would not wait. */
  #checkPresent(): void {
    if (this.#pollFds.some(({ revents }) => (revents & (POLLERR | POLLHUP)) !== 0)) {
      throw new SystemError('ENODEV', 'poll', { path: this.#path });
    }
  }

  #rejectReaders(reason: unknown): void {
    for (const reader of this.#readers.splice(0)) {
      reader.settle?.();
      reader.reject(reason);
    }
  }

  #abortable(resolve: Reader['resolve'], reject: Reader['reject'], signal: AbortSignal): Reader {
    const onAbort = () => {
      this.#readers.splice(this.#readers.indexOf(reader), 1);
      reject(signal.reason);
      if (this.#readers.length > 0 || !this.#polling) return;
      // Nobody waits any more: nor does the kernel. Nothing was consumed (P3), and the line stays as it is (P11).
      const interrupt = this.#interrupt;
      this.#interrupt = new AbortController();
      this.#interruptible = { signal: this.#interrupt.signal };
      interrupt.abort();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const reader: Reader = { resolve, reject, settle: () => signal.removeEventListener('abort', onAbort) };
    return reader;
  }

  /** One call of `poll()`: polls again after a signal of somebody else's, for the time that is left. */
  async #pollUntil(timeoutMs: number, interrupt: AbortSignal, signal: AbortSignal | undefined): Promise<boolean> {
    const { clock } = this.#kernel;
    const start = clock.now();
    const fds: PollFd[] = [{ fd: this.#fd, events: POLLIN, revents: 0 }];
    for (let left = timeoutMs; ; left = Math.max(0, timeoutMs - Number(clock.now() - start) / 1e6)) {
      const result = await this.#thread.poll(fds, pollTimeout(left), { signal: interrupt });
      if (this.#closed) throw closed('poll', this.#path);
      if (result !== -EINTR) return checkResult(result, 'poll', this.#path) > 0;
      signal?.throwIfAborted();
    }
  }
}

/** poll(2)'s timeout: an int of milliseconds, below 0 for ever. Never shorter than asked for. */
function pollTimeout(ms: number): number {
  return ms > 0x7fff_ffff ? FOR_EVER : Math.ceil(ms);
}
