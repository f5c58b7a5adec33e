import type { Clock } from '../backend.ts';
import { checkResult, EAGAIN, EINTR, SystemError } from '../errors.ts';
import type { IrqSource, WaitOptions } from '../irq.ts';
import { type Closeable, closed, type OpenResources } from '../open-resources.ts';
import type { Interruptible, MaySleep, SyscallResult } from '../user-mode-kernel.ts';

const FOR_EVER = -1;
/** The longest time that poll(2) takes: INT_MAX milliseconds, 25 days. */
const MOST_MS = 0x7fff_ffff;

/**
 * The open file that a source reads its interrupts from. Kernel interfaces differ in how they count and who unmasks (L);
 * whatever they do, a file makes the line deliverable before it waits or says that there is nothing, and not before that.
 */
export interface InterruptFile extends Closeable {
  /** For errors. */
  readonly path: string;
  /** Waits for an interrupt: what {@link taken} makes a count of, or -errno. */
  read(o: Interruptible): MaySleep;
  /** The same without a wait: -EAGAIN where there is none. */
  tryRead(): SyscallResult;
  /**
   * Waits with the whole JavaScript thread: the interrupts since the last read, or -errno. EINTR now and then; ENOSYS where
   * threads cannot sleep.
   */
  readSync(): SyscallResult;
  /**
   * The interrupts that a read brought, all since the read before it; undefined where they are none.
   * @throws SystemError what the read failed with
   */
  taken(result: SyscallResult): number | undefined;
  /** poll(2) for reading: 1, or 0 when the time is up, or -errno. */
  poll(timeoutMs: number, o: Interruptible): MaySleep;
  /**
   * A read has taken what another call waits for, which finds nothing, and sleeps on: the line is made deliverable for it.
   * Left out where the kernel does that (P5, P9).
   */
  letThrough?(): void;
}

/** A read that waits. */
interface Reader {
  readonly resolve: (count: number) => void;
  readonly reject: (reason: unknown) => void;
  /** Stops listening to the reader's own signal. */
  readonly settle: (() => void) | undefined;
}

/** An interrupt through a file. All waiting reads of a source share one read of it. */
export class FileIrqSource implements IrqSource {
  readonly line: number;
  readonly #file: InterruptFile;
  readonly #clock: Clock;
  readonly #owner: OpenResources<IrqSource>;

  readonly #readers: Reader[] = [];
  /** Interrupts that a read(2) brought after its last reader had gone: the next to ask gets them. */
  #unread = 0;
  /** A read(2) sleeps for the readers. */
  #asleep = false;
  /** Calls of `poll()` that wait. */
  #polls = 0;
  /** Interrupts the read(2) of the readers; a new one takes its place after each use. */
  #interrupt = new AbortController();
  #alone: Interruptible = this.#interruptibleAlone();
  /** Interrupts the calls of `poll()` when the source is closed. */
  readonly #closing = new AbortController();
  #closed = false;

  /**
   * @param line the kernel's number
   * @param file the source's from now on
   */
  constructor(line: number, file: InterruptFile, clock: Clock, owner: OpenResources<IrqSource>) {
    this.line = line;
    this.#file = file;
    this.#clock = clock;
    this.#owner = owner;
    owner.add(this);
  }

  read(o?: WaitOptions): Promise<number> {
    const signal = o?.signal;
    const alone = !this.#asleep && this.#readers.length === 0;
    if (alone && signal === undefined && this.#unread === 0 && !this.#closed) return this.#readAlone();
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closed('read', this.#file.path));
      if (signal === undefined) {
        this.#readers.push({ resolve, reject, settle: undefined });
      } else {
        if (signal.aborted) return reject(signal.reason);
        this.#readers.push(this.#abortable(resolve, reject, signal));
      }
      if (this.#unread > 0) return this.#deliverUnread();
      if (!this.#asleep) this.#readForReaders();
    });
  }

  tryRead(): number | undefined {
    if (this.#closed) throw closed('read', this.#file.path);
    if (this.#unread > 0) return this.#takeUnread();
    for (;;) {
      const result = this.#file.tryRead();
      if (result === -EAGAIN) return undefined;
      if (result === -EINTR) continue;
      const count = this.#file.taken(result);
      if (this.#asleep || this.#polls > 0) this.#file.letThrough?.();
      return count;
    }
  }

  /**
   * As `read()`, with the whole JavaScript thread asleep meanwhile.
   * @returns undefined now and then, so that a thread can be ended
   * @throws SystemError EBUSY a read waits; EBADF closed; ENODEV the device was removed; ENOSYS
   */
  readSync(): number | undefined {
    if (this.#closed) throw closed('read', this.#file.path);
    if (this.#unread > 0) return this.#takeUnread();
    if (this.#asleep) throw new SystemError('EBUSY', 'read', { path: this.#file.path, detail: 'a read waits' });
    const result = this.#file.readSync();
    if (result > 0) return result;
    return result === -EINTR || result === 0 ? undefined : checkResult(result, 'read', this.#file.path);
  }

  async poll(o: WaitOptions & { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const { signal, timeoutMs = Number.POSITIVE_INFINITY } = o;
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
      throw new RangeError(`a timeout is a number of milliseconds >= 0, not ${String(timeoutMs)}`);
    }
    if (this.#closed) throw closed('poll', this.#file.path);
    signal?.throwIfAborted();
    if (this.#unread > 0) return true;

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
    this.#rejectReaders(closed('read', this.#file.path));
    // A call that sleeps holds the line until it has returned (P8).
    this.#interrupt.abort();
    this.#closing.abort();
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #takeUnread(): number {
    const count = this.#unread;
    this.#unread = 0;
    return count;
  }

  #deliverUnread(): void {
    const reader = this.#readers.shift();
    reader?.settle?.();
    reader?.resolve(this.#takeUnread());
  }

  /** The usual case: nobody else waits, and nobody can call it off, so the kernel's promise is the reader's. */
  #readAlone(): Promise<number> {
    for (;;) {
      const result = this.#file.read(this.#alone);
      if (typeof result !== 'number') {
        this.#asleep = true;
        return result;
      }
      if (result === -EINTR) continue;
      try {
        const count = this.#file.taken(result);
        if (count !== undefined) return Promise.resolve(count);
      } catch (failure) {
        return Promise.reject(failure);
      }
    }
  }

  #interruptibleAlone(): Interruptible {
    return {
      signal: this.#interrupt.signal,
      onReturn: (result) => this.#onReadAlone(result),
      onThrow: (failure) => this.#onFailed(failure),
    };
  }

  #onReadAlone(result: number): MaySleep {
    this.#asleep = false;
    if (this.#closed) throw closed('read', this.#file.path);
    // Whoever waits after this one is served after it.
    if (this.#readers.length > 0) queueMicrotask(this.#goOn);
    const count = result === -EINTR ? undefined : this.#file.taken(result);
    return count ?? this.read();
  }

  readonly #goOn = (): void => {
    if (!this.#asleep && !this.#closed) this.#readForReaders();
  };

  /** Reads for those who wait, until nobody does or the read sleeps. A failure of the file is everybody's. */
  #readForReaders(): void {
    while (this.#readers.length > 0) {
      const result = this.#file.read({ signal: this.#interrupt.signal, onReturn: this.#onReturn });
      if (typeof result !== 'number') {
        this.#asleep = true;
        result.then(this.#onRead, this.#onFailed);
        return;
      }
      try {
        this.#deliver(this.#onReturn(result));
      } catch (failure) {
        this.#rejectReaders(failure);
      }
    }
  }

  /** The count, 0 for none; taken at once, before another read of the file takes what came after it. */
  readonly #onReturn = (result: number): number => {
    if (result === -EINTR || this.#closed) return 0;
    return this.#file.taken(result) ?? 0;
  };

  readonly #onRead = (count: number): void => {
    this.#asleep = false;
    if (this.#closed) return;
    this.#deliver(count);
    this.#readForReaders();
  };

  readonly #onFailed = (failure: unknown): void => {
    this.#asleep = false;
    this.#rejectReaders(failure);
  };

  /** Gives the count to who waits longest. */
  #deliver(count: number): void {
    if (count === 0) return;
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#unread += count;
      return;
    }
    reader.settle?.();
    reader.resolve(count);
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
      if (this.#readers.length > 0 || !this.#asleep) return;
      // Nobody waits any more: nor does the kernel. Nothing was consumed (P3), and the line stays as it is (P11).
      const interrupt = this.#interrupt;
      this.#interrupt = new AbortController();
      this.#alone = this.#interruptibleAlone();
      interrupt.abort();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const reader: Reader = { resolve, reject, settle: () => signal.removeEventListener('abort', onAbort) };
    return reader;
  }

  async #poll(timeoutMs: number, signal: AbortSignal): Promise<SyscallResult> {
    this.#polls++;
    try {
      return await this.#file.poll(timeoutMs, { signal });
    } finally {
      this.#polls--;
    }
  }

  /** One call of `poll()`: polls again after a signal of somebody else's, for the time that is left. */
  async #pollUntil(timeoutMs: number, interrupt: AbortSignal, signal: AbortSignal | undefined): Promise<boolean> {
    const clock = this.#clock;
    const start = clock.now();
    for (let left = timeoutMs; ; left = Math.max(0, timeoutMs - Number(clock.now() - start) / 1e6)) {
      const result = await this.#poll(pollTimeout(left), interrupt);
      if (this.#closed) throw closed('poll', this.#file.path);
      if (result === 0 && left > MOST_MS && left < Number.POSITIVE_INFINITY) continue;
      if (result !== -EINTR) return checkResult(result, 'poll', this.#file.path) > 0;
      signal?.throwIfAborted();
    }
  }
}

/** poll(2)'s timeout: an int of milliseconds, below 0 for ever. Longer ones are waited for in pieces. */
function pollTimeout(ms: number): number {
  return ms === Number.POSITIVE_INFINITY ? FOR_EVER : Math.min(Math.ceil(ms), MOST_MS);
}
