import type { Clock } from './backend.ts';
import type { DmaMapper, DmaMapping, DmaSegment, UserMemory } from './dma.ts';
import { SystemError } from './errors.ts';
import type { WaitOptions } from './irq.ts';
import { Mutex } from './mutex.ts';

/** Which way the bytes go: `write` takes them to the device, `read` from it. */
export type DirectIoDirection = 'to-device' | 'from-device';

/** What the device does in one go: from its start to the one interrupt at its end. */
export interface DirectIoRun {
  readonly direction: DirectIoDirection;
  /** Where it starts on the device's side: a block of a disk, an offset in a buffer. */
  readonly position: number;
  /** Where the memory is, in order: from 1 to {@link DirectIoDevice.maxSegments} entries. */
  readonly segments: readonly DmaSegment[];
  /** Bytes, all segments together. */
  readonly length: number;
}

/** How long a device may take, and who may call it off. */
export interface DirectIoWait extends WaitOptions {
  /** Milliseconds on the backend's clock. */
  readonly timeoutMs: number;
}

/**
 * A device's side of {@link DirectIo}: what its driver implements. A driver that can say how it starts its device, how it
 * waits for it and how it stops it has transfers of any size, alignment and number.
 */
export interface DirectIoDevice {
  /** What errors call it: its PCI address. */
  readonly name: string;
  readonly dma: DmaMapper;
  readonly clock: Clock;
  /**
   * What a transfer has for its whole time, so that nothing else is done with the device meanwhile. A driver that does other
   * things too hands over the mutex that those queue for. Left out: one of its own.
   */
  readonly mutex?: Mutex;
  /** Entries that a scatterlist can have. A chunk with more takes several runs. */
  readonly maxSegments: number;
  /**
   * The most bytes that a chunk can have which starts at that position, an integer >= 1: the device's limit (HW_DMA_MAX, S4),
   * or less where something ends that the device does not go beyond.
   * @throws RangeError a position that the device does not have; nothing has happened then
   */
  maxTransfer(position: number): number;
  /**
   * Has the device begin. It may wait before, for a device that is still busy with what was called off, but never after.
   * @throws SystemError what the device, or the bus, says
   */
  start(run: DirectIoRun, o: DirectIoWait): void | Promise<void>;
  /**
   * Waits for an interrupt, or until the time is up; then looks at the device in either case, and acknowledges what it finds.
   * @returns how many bytes were moved, all but at the end of what the device has; undefined where the run is not over: the
   *   interrupt was for something else
   * @throws SystemError EIO, ENODEV and the like, where the run failed; the signal's reason
   */
  wait(o: DirectIoWait): Promise<number | undefined>;
  /**
   * Keeps the device from memory, whatever it was doing, before this returns. Called after each run that failed, timed out or
   * was called off, perhaps more than once. The next `start` undoes it.
   * @throws whatever keeps it from being sure. The memory is then not handed back, before the device is closed (U2)
   */
  stop(): void;
}

/** What a transfer can be given. */
export interface DirectIoOptions {
  /** Where it starts on the device's side, an integer >= 0; 0 where left out. */
  readonly position?: number;
  /** Calls the transfer off, while it queues or while it runs: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds on the backend's clock, for each wait, after which the device counts as stalled. Finite and > 0; 2000 where
   * left out (S4).
   */
  readonly timeoutMs?: number;
  /**
   * Called after each chunk, with the bytes that were moved so far and those that were asked for. What was moved is the
   * caller's again. What it throws ends the transfer.
   */
  readonly onProgress?: (transferred: number, total: number) => void;
}

const DEFAULT_TIMEOUT_MS = 2000;
/** A pause after an interrupt that ends nothing. The line stays masked meanwhile: a stuck one takes no processor (P13). */
const SPURIOUS_MS = 1;

/** A transfer that has its turn. */
interface Turn {
  readonly direction: DirectIoDirection;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Direct I/O (S4): transfers straight between a device and user memory, which the processor does not copy.
 *
 * A transfer has any size and alignment. It is cut into chunks of at most the device's limit, and each chunk is mapped, moved
 * and unmapped before the next, so that a transfer of any size pins one chunk. One transfer is under way at a time, the others
 * queue. From `map` to the end of the chunk the memory is the device's (M2). Whatever happens, the device has been stopped
 * before it is handed back: also after a timeout, an abort, an error, and when the device was pulled out.
 *
 * @example
 * ```ts
 * import { bindDriver } from '@usrdrv/core';
 * import { eduDriver } from '@usrdrv/drivers';
 * import { EduDevice, emulated } from '@usrdrv/emu';
 *
 * using backend = emulated({ devices: [new EduDevice()] });
 * using bindings = await bindDriver(backend, eduDriver());
 * for (const { instance: edu, device } of bindings.bound) {
 *   using memory = device.dma.allocUser(10_000);
 *   const part = memory.subarray(123, 9000); // any alignment
 *   const onProgress = (done: number, total: number) => console.log(`${done} of ${total} bytes`);
 *   console.assert((await edu.directIo.write(part, { onProgress, timeoutMs: 500 })) === 8877);
 * }
 * ```
 */
export class DirectIo implements Disposable {
  readonly #device: DirectIoDevice;
  readonly #mutex: Mutex;
  /** The transfers that are not over. */
  readonly #pending = new Set<AbortController>();
  /** What the chunk under way has mapped. */
  #mapping: DmaMapping | undefined;
  #closed = false;

  /** @throws RangeError unless `maxSegments` is an integer >= 1 */
  constructor(device: DirectIoDevice) {
    checkCount('a scatterlist', device.maxSegments);
    this.#device = device;
    this.#mutex = device.mutex ?? new Mutex();
  }

  /**
   * Has the device fill memory.
   * @param memory from `allocUser`, or a part of it; the device's until the promise settles
   * @returns bytes that were read: fewer than the memory has where the device came to an end
   * @throws TypeError, RangeError a bad argument: nothing has reached the device
   * @throws SystemError ETIMEDOUT the device stalled; ENODEV it was pulled out; EIO the bus or the device refused; EFAULT the
   *   memory was freed; ENOMEM it cannot be pinned (RLIMIT_MEMLOCK); ECANCELED closed meanwhile; EBADF closed before
   */
  read(memory: UserMemory, o?: DirectIoOptions): Promise<number> {
    return this.#transfer('from-device', memory, o);
  }

  /** Has the device fetch memory. The rest as in {@link read}. */
  write(memory: UserMemory, o?: DirectIoOptions): Promise<number> {
    return this.#transfer('to-device', memory, o);
  }

  /**
   * Stops the device and takes the memory back, at once; transfers under way and queued ones reject with ECANCELED. A driver
   * does so first when it is removed. Again does nothing.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const abort of this.#pending) abort.abort(this.#error('ECANCELED', 'closed meanwhile'));
    if (this.#mapping !== undefined) this.#takeBack(this.#mapping);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #transfer(direction: DirectIoDirection, memory: UserMemory, o: DirectIoOptions = {}): Promise<number> {
    const { position = 0, signal, timeoutMs = DEFAULT_TIMEOUT_MS, onProgress } = o;
    if (!(memory?.bytes instanceof Uint8Array)) throw new TypeError('memory is what allocUser gave');
    if (!Number.isSafeInteger(position) || position < 0) {
      throw new RangeError(`a position is an integer >= 0, not ${String(position)}`);
    }
    if (typeof timeoutMs !== 'number' || !Number.isFinite(timeoutMs) || timeoutMs <= 0) {
      throw new RangeError(`a timeout is a finite number of milliseconds > 0, not ${String(timeoutMs)}`);
    }
    this.#limit(position);
    if (this.#closed) throw this.#error('EBADF', 'closed');
    signal?.throwIfAborted();

    const abort = new AbortController();
    const onAbort = () => abort.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    this.#pending.add(abort);
    try {
      await this.#mutex.lock(abort.signal);
      try {
        return await this.#chunks({ direction, timeoutMs, signal: abort.signal }, memory, position, onProgress);
      } finally {
        this.#mutex.unlock();
      }
    } catch (error) {
      // Whatever it ran into when it was closed meanwhile.
      throw this.#closed ? this.#error('ECANCELED', 'closed meanwhile') : error;
    } finally {
      this.#pending.delete(abort);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #chunks(
    turn: Turn,
    memory: UserMemory,
    position: number,
    onProgress: DirectIoOptions['onProgress'],
  ): Promise<number> {
    const total = memory.bytes.length;
    if (total === 0) throw this.#error('EFAULT', 'the memory was freed');
    for (let done = 0; ; ) {
      turn.signal.throwIfAborted();
      if (memory.bytes.length !== total) throw this.#error('EFAULT', 'the memory was freed meanwhile');
      const length = Math.min(this.#limit(position + done), total - done);
      const moved = await this.#chunk(turn, memory.subarray(done, done + length), position + done);
      done += moved;
      onProgress?.(done, total);
      if (moved < length || done === total) return done;
    }
  }

  /** The life of a streaming mapping: map, move, unmap (M2, M3). */
  async #chunk(turn: Turn, memory: UserMemory, position: number): Promise<number> {
    const { direction } = turn;
    if (this.#mapping !== undefined) throw this.#error('EIO', 'the device could not be stopped');
    const mapping = this.#device.dma.map(memory, direction);
    this.#mapping = mapping;
    let moved = 0;
    try {
      for (const run of this.#runs(mapping)) {
        turn.signal.throwIfAborted();
        const here = await this.#run({ ...run, direction, position: position + moved }, turn);
        moved += here;
        if (here < run.length) break;
      }
    } catch (error) {
      // Closed meanwhile, it has been taken back.
      if (this.#mapping === mapping) this.#takeBack(mapping);
      throw error;
    }
    this.#mapping = undefined;
    mapping.unmap();
    return moved;
  }

  /** A mapping's segments, as many at a time as the device takes. */
  #runs({ segments, memory }: DmaMapping): { segments: DmaSegment[]; length: number }[] {
    const { maxSegments } = this.#device;
    const runs: { segments: DmaSegment[]; length: number }[] = [];
    for (let at = 0; at < segments.length; at += maxSegments) {
      const part = segments.slice(at, at + maxSegments);
      runs.push({ segments: part, length: part.reduce((sum, { length }) => sum + length, 0) });
    }
    const mapped = runs.reduce((sum, { length }) => sum + length, 0);
    const { length } = memory.bytes;
    // A device is told about memory that is mapped, and all of it: a short pin is no success (M7, M8).
    if (mapped !== length) throw this.#error('EIO', `${mapped} of ${length} bytes were mapped`);
    return runs;
  }

  async #run(run: DirectIoRun, { timeoutMs, signal }: Turn): Promise<number> {
    const device = this.#device;
    const { clock } = device;
    const deadline = clock.now() + BigInt(Math.ceil(timeoutMs * 1e6));
    const left = () => Math.max(0, Number(deadline - clock.now()) / 1e6);
    await device.start(run, { timeoutMs, signal });
    for (;;) {
      const moved = await device.wait({ timeoutMs: left(), signal });
      if (moved !== undefined) return this.#counted(moved, run.length);
      if (left() === 0) throw this.#error('ETIMEDOUT', 'the device stalled');
      await clock.sleep(SPURIOUS_MS, { signal });
    }
  }

  /** Stops the device, and only then takes its memory away (M2, U2). */
  #takeBack(mapping: DmaMapping): void {
    this.#device.stop();
    this.#mapping = undefined;
    mapping.unmap();
  }

  #counted(moved: number, length: number): number {
    if (Number.isInteger(moved) && moved >= 0 && moved <= length) return moved;
    throw this.#error('EIO', `the device moved ${moved} of ${length} bytes`);
  }

  #limit(position: number): number {
    return checkCount('a chunk', this.#device.maxTransfer(position));
  }

  #error(code: 'EBADF' | 'ECANCELED' | 'EFAULT' | 'EIO' | 'ETIMEDOUT', detail: string): SystemError {
    return new SystemError(code, 'direct-io', { path: this.#device.name, detail });
  }
}

function checkCount(what: string, most: number): number {
  if (Number.isSafeInteger(most) && most >= 1) return most;
  throw new RangeError(`the most that ${what} can have is an integer >= 1, not ${String(most)}`);
}
