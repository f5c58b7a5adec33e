import type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from './device.ts';

/**
 * QEMU's educational device, register for register as docs/specs/edu of QEMU describes it and QEMU 7.2 behaves: a
 * factorial, and DMA to and from a buffer of 4 KiB.
 *
 * It differs in one thing. A transfer outside the buffer ends the whole of QEMU ("hardware error"). Here it is written
 * down in {@link EduDevice.errors}, and the transfer hangs as on a machine that has stopped: nothing is moved, the start
 * bit stays set, no interrupt comes, until the device has been plugged in anew. QEMU before 9.1 also ends where a
 * transfer is empty, or touches the last byte of the buffer, against its own description; here both work.
 *
 * @example
 * ```ts
 * import { bindDriver } from '@usrdrv/core';
 * import { eduDriver } from '@usrdrv/drivers/edu';
 * import { EduDevice, emulated } from '@usrdrv/emu';
 * const edu = new EduDevice();
 * using backend = emulated({ devices: [edu] });
 * edu.buffer.set([1, 2, 3]); // the back door
 * using bindings = await bindDriver(backend, eduDriver());
 * console.log(await bindings.bound[0]?.instance.read(0, 3)); // Uint8Array(3) [ 1, 2, 3 ]
 * ```
 */
export class EduDevice implements DeviceModel, AccessHandlers {
  readonly name = 'edu';
  readonly config: DeviceConfig = {
    vendorId: 0x1234,
    deviceId: 0x11e8,
    classCode: 0x00ff00,
    revision: 0x10,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x1100,
    interruptPin: 1,
    msi: { vectors: 1 },
  };
  readonly bars: readonly Bar[] = [{ size: 0x10_0000 }];

  /** Back door: the device's 4 KiB, to look into or to corrupt. A driver reaches them by DMA only, at 0x40000. */
  readonly buffer = new Uint8Array(BUFFER_SIZE);
  /** Back door: what a driver did to the device that would have ended QEMU. A correct driver leaves it empty. */
  readonly errors: string[] = [];
  /** Back door: while true, what a driver starts never completes. */
  stalled = false;

  #bus: DeviceBus | undefined = undefined;
  readonly #dmaMask: bigint;
  #liveness = 0;
  #factorial = 0;
  #status = 0;
  #interruptStatus = 0;
  #source = 0n;
  #destination = 0n;
  #count = 0n;
  #command = 0n;

  /** @param o.dmaMask the bus addresses that it can reach: 28 bits unless said otherwise, QEMU's `dma_mask` */
  constructor(o: { readonly dmaMask?: bigint } = {}) {
    this.#dmaMask = o.dmaMask ?? 0xfff_ffffn;
  }

  /** Back door: interrupts, as if the driver had written `bits` to the raise register. */
  raise(bits: number): void {
    this.#interruptStatus = (this.#interruptStatus | bits) >>> 0;
    if (this.#interruptStatus !== 0) this.#bus?.raiseInterrupt();
  }

  attach(bus: DeviceBus): AccessHandlers {
    this.#bus = bus;
    this.buffer.fill(0);
    this.#liveness = this.#factorial = this.#status = this.#interruptStatus = 0;
    this.#source = this.#destination = this.#count = this.#command = 0n;
    return this;
  }

  read(offset: number, width: Width): number {
    // The memory API of QEMU answers a load that the device does not take, and it answers 0.
    if (width !== 4) return 0;
    switch (offset) {
      case ID:
        return 0x0100_00ed;
      case LIVENESS:
        return this.#liveness;
      case FACTORIAL:
        return this.#factorial;
      case STATUS:
        return this.#status;
      case INTERRUPT_STATUS:
        return this.#interruptStatus;
      default:
        return Number(BigInt.asUintN(32, this.read64(offset)));
    }
  }

  write(offset: number, value: number, width: Width): void {
    if (width !== 4) return;
    switch (offset) {
      case LIVENESS:
        this.#liveness = ~value;
        return;
      case FACTORIAL:
        this.#startFactorial(value);
        return;
      case STATUS:
        this.#status = (this.#status & STATUS_COMPUTING) | (value & STATUS_INTERRUPT);
        return;
      case INTERRUPT_RAISE:
        this.raise(value);
        return;
      case INTERRUPT_ACKNOWLEDGE:
        this.#interruptStatus &= ~value;
        if (this.#interruptStatus === 0) this.#bus?.lowerInterrupt();
        return;
      default:
        this.write64(offset, BigInt(value));
    }
  }

  /** The registers of the DMA engine are the ones that can be read whole; 4 bytes give the lower half of each. */
  read64(offset: number): bigint {
    switch (offset) {
      case DMA_SOURCE:
        return this.#source;
      case DMA_DESTINATION:
        return this.#destination;
      case DMA_COUNT:
        return this.#count;
      case DMA_COMMAND:
        return this.#command;
      default:
        return -1n;
    }
  }

  /** 4 bytes clear the upper half. While a transfer runs, the DMA engine does not listen. */
  write64(offset: number, value: bigint): void {
    if ((this.#command & DMA_START) !== 0n) return;
    switch (offset) {
      case DMA_SOURCE:
        this.#source = value;
        return;
      case DMA_DESTINATION:
        this.#destination = value;
        return;
      case DMA_COUNT:
        this.#count = value;
        return;
      case DMA_COMMAND:
        if ((value & DMA_START) === 0n) return;
        this.#command = value;
        this.#later(DMA_NS, () => this.#transfer());
    }
  }

  #startFactorial(n: number): void {
    if ((this.#status & STATUS_COMPUTING) !== 0) return;
    this.#factorial = n;
    this.#status |= STATUS_COMPUTING;
    this.#later(FACTORIAL_THREAD_NS + n * MULTIPLY_NS, () => {
      this.#factorial = factorial(n);
      this.#status &= ~STATUS_COMPUTING;
      if ((this.#status & STATUS_INTERRUPT) !== 0) this.raise(FACTORIAL_DONE);
    });
  }

  #transfer(): void {
    const fromDevice = (this.#command & DMA_FROM_DEVICE) !== 0n;
    const [inside, outside] = fromDevice ? [this.#source, this.#destination] : [this.#destination, this.#source];
    const start = inside - BUFFER_START;
    if (start < 0n || start + this.#count > BigInt(BUFFER_SIZE)) {
      const end = inside + this.#count;
      this.errors.push(
        `DMA ${fromDevice ? 'from' : 'to'} 0x${inside.toString(16)}-0x${end.toString(16)} of the device, ` +
          `outside its buffer at 0x40000-0x41000`,
      );
      return;
    }
    const part = this.buffer.subarray(Number(start), Number(start + this.#count));
    const address = outside & this.#dmaMask;
    // The device does not look whether the bus refused: it completes, and what it could not read is 0.
    if (fromDevice) this.#bus?.dmaWrite(address, part);
    else this.#bus?.dmaRead(address, part.fill(0));
    this.#command &= ~DMA_START;
    if ((this.#command & DMA_INTERRUPT) !== 0n) this.raise(DMA_DONE);
  }

  #later(ns: number, run: () => void): void {
    if (!this.stalled) this.#bus?.after(ns, run);
  }
}

const ID = 0x00;
const LIVENESS = 0x04;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const INTERRUPT_STATUS = 0x24;
const INTERRUPT_RAISE = 0x60;
const INTERRUPT_ACKNOWLEDGE = 0x64;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;

const STATUS_COMPUTING = 0x01;
const STATUS_INTERRUPT = 0x80;

const DMA_START = 1n;
const DMA_FROM_DEVICE = 2n;
const DMA_INTERRUPT = 4n;

/** Bits of the interrupt status. */
const FACTORIAL_DONE = 0x001;
const DMA_DONE = 0x100;

const BUFFER_START = 0x4_0000n;
const BUFFER_SIZE = 4096;

/** As in QEMU, on its virtual clock. */
const DMA_NS = 100_000_000;
/** QEMU computes on a thread of its own: about 10 us until it has been woken, then a multiplication a nanosecond. */
const FACTORIAL_THREAD_NS = 10_000;
const MULTIPLY_NS = 1;

/** n! in 32 bits. From 34! on it is 0: the product has 32 factors of 2. */
function factorial(n: number): number {
  if (n >= 34) return 0;
  let product = 1;
  for (let factor = 2; factor <= n; factor++) product = Math.imul(product, factor);
  return product >>> 0;
}
