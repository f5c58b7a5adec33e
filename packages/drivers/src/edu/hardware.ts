import {
  type BusAddress,
  type ErrnoCode,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_STATUS,
  type PciDevice,
  SystemError,
} from '@usrdrv/core';
import { BUFFER_ADDRESS, DMA_MASK, EDU, eduRegisters } from './registers.ts';

const ALL_ONES = 0xffff_ffff;
/** Received master abort and received target abort, in the status register (PCI 3.0, 6.2.3). */
const ABORTS = 0x3000;

/** Which way a transfer goes. */
export type Direction = 'toDevice' | 'fromDevice';

/**
 * An edu as its driver reaches it: its registers, and its way onto the bus. Nothing here waits. What reads registers throws
 * `SystemError` ENODEV where the device has been pulled out.
 */
export class EduHardware {
  readonly #device: PciDevice;
  readonly #registers: ReturnType<typeof eduRegisters.bind>;
  #stopped = false;
  #lost = false;

  /**
   * Takes an opened device over: it is quiet then, and off the bus if it was left running.
   * @throws SystemError ENODEV it is no edu of version 1; EIO it does not answer
   */
  constructor(device: PciDevice) {
    this.#device = device;
    this.#registers = eduRegisters.bind(device.bar(0));
    this.#identify();
    // Whoever had it before may have left it running.
    this.silence();
    this.#refused();
    if (this.busy()) this.stop();
  }

  /** Off the bus, and perhaps still busy with what was called off. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Pulled out, or closed because there was no other way to stop it. */
  get lost(): boolean {
    return this.#lost;
  }

  startFactorial(n: number): void {
    this.#registers.status.write({ interruptWhenDone: true });
    this.#registers.factorial.write(n);
  }

  /** What came of {@link startFactorial}. */
  factorial(): number {
    return this.present(this.#registers.factorial.read());
  }

  /**
   * One DMA.
   * @param offset in the device's buffer
   * @throws SystemError EIO memory beyond the 28 bits that the device reaches
   */
  startTransfer(direction: Direction, address: BusAddress, length: number, offset: number, operation: string): void {
    const last = address + BigInt(length) - 1n;
    if (last > DMA_MASK) throw this.error('EIO', operation, `bus address 0x${last.toString(16)} is beyond 28 bits`);
    const { dmaSource, dmaDestination, dmaCount, dmaCommand } = this.#registers;
    const buffer = BigInt(BUFFER_ADDRESS + offset);
    dmaSource.write(direction === 'toDevice' ? address : buffer);
    dmaDestination.write(direction === 'toDevice' ? buffer : address);
    dmaCount.write(length);
    dmaCommand.write({ run: true, direction, interruptWhenDone: true });
  }

  /** @throws SystemError EIO the bus refused the transfer that is over: edu itself does not tell */
  checkTransferred(operation: string): void {
    if (this.#refused()) throw this.error('EIO', operation, 'the bus refused the device access to memory');
  }

  /** Takes what the device says that it is interrupting for: bits of the interrupt status, now acknowledged. */
  acknowledge(): number {
    const { interruptStatus, interruptAcknowledge } = this.#registers;
    const status = this.present(interruptStatus.read());
    if (status !== 0) interruptAcknowledge.write(status);
    return status;
  }

  busy(): boolean {
    const { status, dmaCommand } = this.#registers;
    return dmaCommand.readFields().run || status.readFields().computing;
  }

  /** Takes the device off the bus. It cannot be told to stop, but from here on it reaches no memory. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const { config } = this.#device;
    try {
      config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) & ~PCI_COMMAND_MASTER);
    } catch (error) {
      this.#lost = true;
      // One that was pulled out is stopped. One that we may not configure is stopped by closing it (U2), for good.
      if (!isGone(error)) this.#device.close();
    }
  }

  /** Puts a device that was stopped back on the bus, once it is no longer {@link busy}. */
  restart(): void {
    this.silence();
    const { config } = this.#device;
    config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) | PCI_COMMAND_MASTER);
    this.#stopped = false;
  }

  /** Lets the interrupt line go. */
  silence(): void {
    this.#registers.status.write({ interruptWhenDone: false });
    this.#registers.interruptAcknowledge.write(ALL_ONES);
  }

  /** All ones is what the bus reads where nobody answers; the identification tells whether it is that. */
  present(value = this.#registers.interruptStatus.read()): number {
    if (value === ALL_ONES && this.#registers.identification.read() === ALL_ONES) {
      throw this.error('ENODEV', 'mmio', 'the device does not answer');
    }
    return value;
  }

  error(code: ErrnoCode, syscall: string, detail: string): SystemError {
    return new SystemError(code, syscall, { path: `${this.#device.address}`, detail });
  }

  /** Whether the bus refused a transfer since the last look: the function's status register has it. */
  #refused(): boolean {
    const { config } = this.#device;
    const aborts = config.read16(PCI_STATUS) & ABORTS;
    if (aborts === 0) return false;
    // All ones has these bits set too.
    this.present(ALL_ONES);
    // Writing ones clears them.
    config.write16(PCI_STATUS, aborts);
    return true;
  }

  #identify(): void {
    const { identification, liveness } = this.#registers;
    this.present(identification.read());
    const { edu, major } = identification.readFields();
    if (edu !== EDU || major !== 1) throw this.error('ENODEV', 'probe', 'no edu device of version 1');
    const probe = 0x5aa5_0ff0;
    liveness.write(probe);
    const answer = this.present(liveness.read());
    if (answer !== ALL_ONES - probe) throw this.error('EIO', 'probe', 'the device does not answer');
  }
}

/** Whether an error says that the device was pulled out. */
export function isGone(error: unknown): boolean {
  return error instanceof SystemError && error.code === 'ENODEV';
}
