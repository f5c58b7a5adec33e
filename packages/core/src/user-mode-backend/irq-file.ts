import { checkResult, ENOSYS, type ErrnoMeanings, SystemError } from '../errors.ts';
import type { IrqSource } from '../irq.ts';
import { closeEach, type OpenResources } from '../open-resources.ts';
import {
  F_SETFL,
  type Interruptible,
  type MaySleep,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  POLLIN,
  type UserModeKernel,
  type UserThread,
} from '../user-mode-kernel.ts';
import { FileIrqSource, type InterruptFile } from './irq-source.ts';
import { AnonymousMemory, immediate } from './user-memory.ts';

/** What a read of the file gives: one native int (P2). */
const COUNT_BYTES = 4;

/**
 * Opens /proc/irq/N/irq.
 * @throws RangeError a line that is no integer >= 0
 * @throws SystemError of the open(2) (P6); ENOMEM
 */
export function openIrqFile(kernel: UserModeKernel, line: number, owner: OpenResources<IrqSource>): IrqSource {
  checkLine(line);
  return new FileIrqSource(line, new IrqFile(kernel, line), kernel.clock, owner);
}

/** @throws RangeError unless an integer >= 0 */
export function checkLine(line: number): void {
  if (Number.isSafeInteger(line) && line >= 0) return;
  throw new RangeError(`an interrupt line is an integer >= 0, not ${String(line)}`);
}

const OF_OPEN: ErrnoMeanings = {
  EBUSY: 'a driver of the kernel has the line, or a process has it open: a line is for one alone (P6)',
  EACCES: 'only root may open it',
};

/**
 * /proc/irq/N/irq. A read(2) that sleeps unmasks the line and waits in one system call (P5), and so does poll(2);
 * `tryRead()` makes the file non-blocking for its one call.
 */
class IrqFile implements InterruptFile {
  readonly path: string;
  readonly #thread: UserThread;
  readonly #fd: number;
  readonly #memory: AnonymousMemory;
  readonly #count: Int32Array;
  /** Whether a read's result is the count, and not what was read into memory. */
  readonly #returnsCount: boolean;

  constructor(kernel: UserModeKernel, line: number) {
    this.path = `/proc/irq/${line}/irq`;
    this.#thread = kernel.process.thread;
    this.#returnsCount = this.#thread.waitForCount !== undefined;
    this.#memory = new AnonymousMemory(kernel.process, COUNT_BYTES);
    this.#count = new Int32Array(this.#memory.bytes.buffer, this.#memory.bytes.byteOffset, 1);
    this.#fd = this.#thread.open(this.path, O_RDONLY | O_CLOEXEC);
    if (this.#fd >= 0) return;
    this.#memory.close();
    throw SystemError.fromResult(this.#fd, 'open', this.path, OF_OPEN);
  }

  read(o: Interruptible): MaySleep {
    const thread = this.#thread;
    if (thread.waitForCount !== undefined) return thread.waitForCount(this.#fd, COUNT_BYTES, o);
    return thread.read(this.#fd, this.#memory.address, COUNT_BYTES, o);
  }

  tryRead(): number {
    const thread = this.#thread;
    thread.fcntl(this.#fd, F_SETFL, O_NONBLOCK);
    const result = immediate(thread.read(this.#fd, this.#memory.address, COUNT_BYTES), 'read');
    thread.fcntl(this.#fd, F_SETFL, 0);
    return result === COUNT_BYTES && this.#returnsCount ? (this.#count[0] ?? 0) : result;
  }

  readSync(): number {
    return this.#thread.readCount?.(this.#fd, COUNT_BYTES) ?? -ENOSYS;
  }

  taken(result: number): number | undefined {
    if (this.#returnsCount) return checkResult(result, 'read', this.path);
    if (result !== COUNT_BYTES) {
      checkResult(result, 'read', this.path);
      throw new SystemError('EIO', 'read', { path: this.path, detail: `${result} of ${COUNT_BYTES} bytes` });
    }
    const count = this.#count[0] ?? 0;
    // The 2005 kernel can count below zero when other readers of the line race (D1); that is no interrupt.
    return count > 0 ? count : undefined;
  }

  poll(timeoutMs: number, o: Interruptible): MaySleep {
    return this.#thread.poll([{ fd: this.#fd, events: POLLIN, revents: 0 }], timeoutMs, o);
  }

  close(): void {
    const file = { close: () => checkResult(this.#thread.close(this.#fd), 'close', this.path) };
    closeEach([file, this.#memory]);
  }
}
