import {
  type BusAddress,
  type Clock,
  type ConsistentMemory,
  type DirectIo,
  type DmaDirection,
  type DmaMapping,
  type Driver,
  defineDriver,
  type IrqSource,
  Mutex,
  type PciDevice,
  SystemError,
  type UserMemory,
  type WaitOptions,
} from '@usrdrv/core';
import { eduDirectIo } from './direct-io.ts';
import { type Direction, EduHardware, isGone } from './hardware.ts';
import { BUFFER_SIZE, DMA_DONE, DMA_MASK, FACTORIAL_DONE } from './registers.ts';

/**
 * The driver of QEMU's edu device, for `bindDriver`.
 * @param o see {@link Edu}
 */
export function eduDriver(o: EduOptions = {}): Driver<Edu> {
  return defineDriver({
    name: 'edu',
    match: [{ vendorId: 0x1234, deviceId: 0x11e8 }],
    dmaMask: DMA_MASK,
    probe: (device, { clock }) => new Edu(device, clock, o),
    remove: (edu) => edu.remove(),
  });
}

export interface EduOptions {
  /** Takes interrupts by MSI; by the INTx line where left out. */
  readonly msi?: boolean;
  /**
   * Bytes of the device's buffer that are used, from its start: 1 to 4096, all where left out. 4095 for QEMU before 9.1, which
   * ends with a hardware error when a transfer touches the last byte.
   */
  readonly bufferSize?: number;
}

/** What every operation can be given. */
export interface OperationOptions {
  /** Calls the operation off: the device is stopped, and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds on the backend's clock, from the operation's turn on, after which the device counts as stalled. Finite
   * and > 0; 2000 where left out. A transfer takes QEMU's device 100.
   */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 2000;
/** What errors of {@link Edu.directIo} are called. */
const DIRECT_IO = 'direct-io';
/** How often a device that was stopped is asked whether it is through. */
const RECOVERY_MS = 10;
/** A pause after an interrupt that is not the device's. The line stays masked meanwhile: a stuck one takes no processor. */
const SPURIOUS_MS = 1;
/** 13! does not fit the register. */
const MAX_FACTORIAL = 12;

/** What a wait for the device found. */
interface Look {
  /** Whether there was an interrupt, or the time was up. */
  readonly fired: boolean;
  /** The device's interrupt status, acknowledged. */
  readonly status: number;
  readonly done: boolean;
}

/** An operation that has its turn. */
interface Turn {
  /** What errors call it. */
  readonly name: string;
  /** When the device counts as stalled, on the backend's clock. */
  readonly deadline: bigint;
  readonly wait: WaitOptions;
}

/**
 * A running edu device. It does one operation at a time; the others queue.
 *
 * An operation rejects with
 * - `RangeError` or `TypeError`: a bad argument; nothing has reached the device
 * - `SystemError` ETIMEDOUT: the device stalled
 * - `SystemError` ENODEV: the device was pulled out
 * - `SystemError` EIO: the bus refused the device access to memory
 * - `SystemError` ECANCELED: the driver was removed while it was pending; EBADF: before
 * - the reason of its signal
 *
 * and in each case the memory that it was given is its caller's again: the device has been taken off the bus first.
 */
export class Edu implements Disposable {
  /**
   * Transfers of any size between the device's buffer and user memory (S4). A position is an offset in the buffer, which goes
   * on from its start where it ends: a longer transfer writes it over, or reads it again.
   */
  readonly directIo: DirectIo;
  readonly #device: PciDevice;
  readonly #clock: Clock;
  readonly #hardware: EduHardware;
  readonly #irq: IrqSource;
  /** Not there on a backend without DMA, where edu still computes factorials. */
  readonly #page: ConsistentMemory | undefined;
  readonly #mutex = new Mutex();
  readonly #bufferSize: number;
  /** What the operation under way has mapped. */
  #mapping: DmaMapping | undefined;
  #interrupts = 0;
  #removed = false;

  /**
   * Takes an opened device over.
   * @throws RangeError a buffer size that is no integer from 1 to 4096
   * @throws SystemError ENODEV it is no edu of version 1; EIO it does not answer; those of `irq` and `allocConsistent`
   */
  constructor(device: PciDevice, clock: Clock, o: EduOptions = {}) {
    const { bufferSize = BUFFER_SIZE } = o;
    if (!Number.isInteger(bufferSize) || bufferSize < 1 || bufferSize > BUFFER_SIZE) {
      throw new RangeError(`a buffer size is an integer from 1 to ${BUFFER_SIZE}, not ${String(bufferSize)}`);
    }
    this.#bufferSize = bufferSize;
    this.#device = device;
    this.#clock = clock;
    const hardware = new EduHardware(device);
    this.#hardware = hardware;
    this.#irq = o.msi ? device.irq(0) : device.irq();
    this.#page = pageOf(device);
    this.directIo = eduDirectIo({
      name: `${device.address}`,
      clock,
      dma: device.dma,
      mutex: this.#mutex,
      bufferSize,
      ready: ({ timeoutMs, signal }) => this.#ready(this.#turn(DIRECT_IO, timeoutMs, signal)),
      begin: (direction, address, length, offset) => this.#begin(direction, address, length, offset, DIRECT_IO),
      finished: async (o) => {
        const { done } = await this.#interrupt(DMA_DONE, o);
        if (done) hardware.checkTransferred(DIRECT_IO);
        return done;
      },
      stop: () => hardware.stop(),
    });
  }

  /** Interrupts taken since the driver took the device over. */
  get interrupts(): number {
    return this.#interrupts;
  }

  /**
   * Computes n!.
   * @param n an integer from 0 to 12: 13! does not fit 32 bits
   */
  async factorial(n: number, o?: OperationOptions): Promise<number> {
    if (!Number.isInteger(n) || n < 0 || n > MAX_FACTORIAL) {
      throw new RangeError(`n is an integer from 0 to ${MAX_FACTORIAL}, not ${String(n)}`);
    }
    return this.#operate('factorial', o, async (turn) => {
      this.#hardware.startFactorial(n);
      await this.#completion(FACTORIAL_DONE, turn);
      return this.#hardware.factorial();
    });
  }

  /**
   * Copies bytes into the device's buffer, through the driver's page of consistent memory.
   * @param offset in the buffer; with the bytes it ends where the buffer does
   * @param bytes taken when the operation's turn comes: not to be changed before the promise settles
   */
  async write(offset: number, bytes: Uint8Array, o?: OperationOptions): Promise<void> {
    if (!(bytes instanceof Uint8Array)) throw new TypeError('bytes is a Uint8Array');
    this.#checkRange(offset, bytes.length);
    await this.#operate('write', o, (turn) => {
      const page = this.#pageFor(turn);
      page.bytes.set(bytes);
      return this.#transfer('toDevice', page.busAddress, bytes.length, offset, turn);
    });
  }

  /**
   * Copies bytes out of the device's buffer, through the driver's page of consistent memory.
   * @param offset in the buffer; with the length it ends where the buffer does
   */
  async read(offset: number, length: number, o?: OperationOptions): Promise<Uint8Array> {
    this.#checkRange(offset, length);
    return this.#operate('read', o, async (turn) => {
      const page = this.#pageFor(turn);
      // What was written before must not pass for what came back.
      page.bytes.fill(0, 0, length);
      await this.#transfer('fromDevice', page.busAddress, length, offset, turn);
      return page.bytes.slice(0, length);
    });
  }

  /**
   * Has the device fetch memory into its buffer by itself: a streaming mapping, which the processor does not copy.
   * @param offset in the buffer; with the memory's length it ends where the buffer does
   * @param memory the device's until the promise settles (M2)
   */
  async copyToDevice(offset: number, memory: UserMemory, o?: OperationOptions): Promise<void> {
    this.#checkRange(offset, lengthOf(memory));
    await this.#operate('copyToDevice', o, (turn) => this.#stream('to-device', memory, offset, turn));
  }

  /** Has the device fill memory from its buffer by itself; see {@link copyToDevice}. */
  async copyFromDevice(offset: number, memory: UserMemory, o?: OperationOptions): Promise<void> {
    this.#checkRange(offset, lengthOf(memory));
    await this.#operate('copyFromDevice', o, (turn) => this.#stream('from-device', memory, offset, turn));
  }

  /** Stops the device and gives back what the driver took of it, at any moment: pending operations reject. Again does nothing. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#hardware.stop();
    try {
      if (!this.#hardware.lost) this.#hardware.silence();
    } catch (error) {
      // A device that was pulled out is quiet.
      if (!isGone(error)) throw error;
    } finally {
      this.directIo.close();
      this.#mapping?.unmap();
      this.#irq.close();
      this.#page?.free();
    }
  }

  [Symbol.dispose](): void {
    this.remove();
  }

  /** Waits for its turn, and does it. */
  async #operate<T>(name: string, o: OperationOptions = {}, run: (turn: Turn) => Promise<T>): Promise<T> {
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = o;
    if (typeof timeoutMs !== 'number' || !Number.isFinite(timeoutMs) || timeoutMs <= 0) {
      throw new RangeError(`a timeout is a finite number of milliseconds > 0, not ${String(timeoutMs)}`);
    }
    if (this.#removed) throw this.#hardware.error('EBADF', name, 'the driver has been removed');
    await this.#mutex.lock(signal);
    try {
      const turn = this.#turn(name, timeoutMs, signal);
      await this.#ready(turn);
      return await run(turn);
    } catch (error) {
      // Whatever it ran into when the driver was removed meanwhile.
      this.#checkBound(name);
      throw error;
    } finally {
      this.#mutex.unlock();
    }
  }

  #turn(name: string, timeoutMs: number, signal: AbortSignal | undefined): Turn {
    const deadline = this.#clock.now() + BigInt(Math.ceil(timeoutMs * 1e6));
    return { name, deadline, wait: signal === undefined ? {} : { signal } };
  }

  /** The device is there, and on the bus. */
  async #ready(turn: Turn): Promise<void> {
    this.#checkBound(turn.name);
    if (this.#hardware.lost) throw this.#hardware.error('ENODEV', turn.name, 'the device was lost');
    if (this.#hardware.stopped) await this.#restart(turn);
  }

  #pageFor({ name }: Turn): ConsistentMemory {
    if (this.#page === undefined) throw this.#hardware.error('ENOSYS', name, 'the backend has no DMA');
    return this.#page;
  }

  /** The life of a streaming mapping: map, transfer each segment, unmap. */
  async #stream(direction: DmaDirection, memory: UserMemory, offset: number, turn: Turn): Promise<void> {
    this.#mapping = this.#device.dma.map(memory, direction);
    try {
      let at = offset;
      for (const { busAddress, length } of this.#mapping.segments) {
        await this.#transfer(direction === 'to-device' ? 'toDevice' : 'fromDevice', busAddress, length, at, turn);
        at += length;
      }
    } finally {
      // A transfer that failed has stopped the device (M2).
      this.#mapping.unmap();
      this.#mapping = undefined;
    }
  }

  /** One DMA. */
  async #transfer(
    direction: Direction,
    address: BusAddress,
    length: number,
    offset: number,
    turn: Turn,
  ): Promise<void> {
    if (length === 0) return;
    this.#begin(direction, address, length, offset, turn.name);
    await this.#completion(DMA_DONE, turn);
    this.#hardware.checkTransferred(turn.name);
  }

  #begin(direction: Direction, address: BusAddress, length: number, offset: number, operation: string): void {
    this.#checkBound(operation);
    this.#hardware.startTransfer(direction, address, length, offset, operation);
  }

  /**
   * The life of an interrupt on this side of the kernel: wait, which unmasks the line; take the count; ask the device what
   * it is for; acknowledge; and only then wait again (P5).
   * @param bit the bit of the interrupt status that says that it is done
   */
  async #interrupt(bit: number, o: WaitOptions & { readonly timeoutMs: number }): Promise<Look> {
    const fired = await this.#irq.poll(o);
    if (fired) this.#interrupts += this.#irq.tryRead() ?? 0;
    // Also where none came: an interrupt that got lost is no stall.
    const status = this.#hardware.acknowledge();
    // While the device is busy, it meant something that was called off before.
    return { fired, status, done: (status & bit) !== 0 && !this.#hardware.busy() };
  }

  /** Waits until the device is done, with interrupts that are for something else in between. */
  async #completion(bit: number, turn: Turn): Promise<void> {
    try {
      for (;;) {
        const { fired, status, done } = await this.#interrupt(bit, { timeoutMs: this.#msLeft(turn), ...turn.wait });
        if (done) return;
        // A line that is stuck always fires.
        if (!fired || this.#msLeft(turn) === 0) {
          throw this.#hardware.error('ETIMEDOUT', turn.name, 'the device stalled');
        }
        if (status === 0) await this.#clock.sleep(SPURIOUS_MS, turn.wait);
      }
    } catch (error) {
      this.#hardware.stop();
      throw error;
    }
  }

  /** Puts a device that was stopped back on the bus, once it is through with what it was doing. */
  async #restart(turn: Turn): Promise<void> {
    const hardware = this.#hardware;
    while (hardware.busy()) {
      hardware.present();
      if (this.#msLeft(turn) === 0) throw hardware.error('ETIMEDOUT', turn.name, 'the device is still busy');
      await this.#clock.sleep(RECOVERY_MS, turn.wait);
      this.#checkBound(turn.name);
    }
    hardware.restart();
  }

  /** @throws SystemError ECANCELED the driver has been removed while the operation was pending */
  #checkBound(operation: string): void {
    if (this.#removed) throw this.#hardware.error('ECANCELED', operation, 'the driver was removed');
  }

  /** @throws RangeError unless the range is inside the device's buffer, which it does not check itself */
  #checkRange(offset: number, length: number): void {
    const size = this.#bufferSize;
    if (!Number.isInteger(offset) || !Number.isInteger(length) || offset < 0 || length < 0 || offset + length > size) {
      throw new RangeError(`${length} bytes at ${offset} are not inside the device's buffer of ${size}`);
    }
  }

  #msLeft({ deadline }: Turn): number {
    const left = deadline - this.#clock.now();
    return left > 0n ? Number(left) / 1e6 : 0;
  }
}

/** @throws TypeError what is given is no memory; SystemError EBADF it has been freed */
function lengthOf(memory: UserMemory): number {
  if (!(memory?.bytes instanceof Uint8Array)) throw new TypeError('memory is what allocUser gave');
  return memory.bytes.length;
}

/** What transfers go through, undefined on a backend without DMA. */
function pageOf({ dma }: PciDevice): ConsistentMemory | undefined {
  try {
    return dma.allocConsistent(BUFFER_SIZE);
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOSYS') return undefined;
    throw error;
  }
}
