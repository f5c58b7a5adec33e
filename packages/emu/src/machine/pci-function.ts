import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY, PCI_INTERRUPT_LINE, type PciAddress } from '@usrdrv/core';
import type { AccessHandlers, DeviceBus, DeviceModel, Width } from '../devices/device.ts';
import type { Timer } from './clock.ts';
import type { IrqLine } from './irq-line.ts';
import { ConfigRegisters, PCI_STATUS_REC_MASTER_ABORT } from './pci-config.ts';
import type { PciHostOptions } from './pci-host.ts';

/** What a function needs of the bus that it is on. */
export interface FunctionHost
  extends Pick<PciHostOptions, 'clock' | 'oracle' | 'trace' | 'memory' | 'interruptMessage'> {
  /** Runs one configuration cycle to the function: time passes, and interrupts that it caused are taken when it is over. */
  configAccess<T>(to: PciFunction, run: () => T): T;
  /** Lets interrupts and woken tasks run, unless an access is under way, which does so at its end. */
  settle(): void;
  /** A BAR was moved, or switched on or off. */
  decodeChanged(): void;
}

/**
 * A function in its slot: the configuration registers stand between the bus and the device, and decide what gets
 * through. Everything here stops having an effect when it is unplugged; whoever still holds it then reads all ones.
 */
export class PciFunction implements DeviceBus {
  /** Not pulled out yet. */
  present = true;
  /** What its interrupt pin is wired to. */
  line: IrqLine | undefined = undefined;
  /** What answers behind its BARs. */
  registers: AccessHandlers = NOBODY;
  readonly #config: ConfigRegisters;
  /** What never completes, or late, unless it is told to. */
  readonly #overdue = new Set<{ readonly ns: number; readonly run: () => void; readonly cancel: () => void }>();

  /** @throws RangeError a model that no configuration header can describe */
  constructor(
    private readonly host: FunctionHost,
    readonly address: PciAddress,
    readonly model: DeviceModel,
  ) {
    this.#config = new ConfigRegisters(model);
  }

  // --- What software sees of it -------------------------------------------------------------------------------------

  /**
   * A configuration read.
   * @throws RangeError an access outside the 256 bytes, or misaligned
   */
  configRead(offset: number, width: Width): number {
    return this.host.configAccess(this, () => (this.present ? this.#config.read(offset, width) : 2 ** (8 * width) - 1));
  }

  /**
   * A configuration write.
   * @throws RangeError an access outside the 256 bytes, or misaligned; a value that does not fit
   */
  configWrite(offset: number, value: number, width: Width): void {
    this.host.configAccess(this, () => {
      if (!this.present) return;
      this.#config.write(offset, value, width);
      this.host.decodeChanged();
      // A function that sends messages has nothing to say on its line (section 6.8.1.3).
      if (this.#config.msiEnabled) this.#config.interruptStatus = false;
      this.#driveLine();
    });
  }

  /** Where a BAR's window starts, decoded or not; undefined for one that is not there, or not placed. */
  barAddress(index: number): number | undefined {
    return this.#config.barAddress(index);
  }

  get decodesMemory(): boolean {
    return this.present && (this.#config.command & PCI_COMMAND_MEMORY) !== 0;
  }

  get isBusMaster(): boolean {
    return this.present && (this.#config.command & PCI_COMMAND_MASTER) !== 0;
  }

  get msiEnabled(): boolean {
    return this.#config.msiEnabled;
  }

  /** Firmware places a BAR, and has the function decode it. */
  placeBar(index: number, address: number): void {
    this.#config.setBarAddress(index, address);
    this.#config.write(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
  }

  /** The pin is wired, and firmware says so to the operating system. */
  wire(line: IrqLine): void {
    this.line = line;
    this.#config.write(PCI_INTERRUPT_LINE, line.irq, 1);
  }

  /** The device gets power. */
  power(): void {
    this.registers = this.model.attach(this);
  }

  /** It is pulled out, without a word before. */
  remove(): void {
    this.present = false;
    this.registers = NOBODY;
    this.line?.lower(this);
  }

  // --- What the device does by itself -------------------------------------------------------------------------------

  get now(): number {
    return this.host.clock.now;
  }

  after(ns: number, run: () => void): Timer {
    if (!(ns >= 0 && ns < Number.POSITIVE_INFINITY)) throw new RangeError(`a time is 0 ns or more, not ${ns}`);
    const { oracle, clock } = this.host;
    if (!this.present) return NEVER;
    const stalls = oracle.choose(2, 'device.stall') === 1;
    const factor = stalls ? 1 : (DELAYS[oracle.choose(DELAYS.length, 'device.delay')] ?? 1);
    let timer = NEVER;
    const overdue = { ns, run, cancel: () => timer.cancel() };
    const complete = () => {
      this.#overdue.delete(overdue);
      this.#complete(run);
    };
    if (!stalls) timer = clock.after(ns * factor, complete, true);
    if (stalls || factor > 1) this.#overdue.add(overdue);
    return {
      cancel: () => {
        this.#overdue.delete(overdue);
        timer.cancel();
      },
    };
  }

  /** Back door: what has stalled, or takes longer than it should, will be done in the time that it should take. */
  resume(): void {
    for (const { ns, run, cancel } of this.#overdue) {
      cancel();
      this.host.clock.after(ns, () => this.#complete(run), true);
    }
    this.#overdue.clear();
  }

  #complete(run: () => void): void {
    if (!this.present) return;
    run();
    this.host.settle();
  }

  dmaRead(address: bigint | number, into: Uint8Array): boolean {
    if (!this.isBusMaster) return false;
    const done = this.#busAnswers() && this.host.memory.dmaRead(this, BigInt(address), into);
    return this.#transferred('dma-read', done, address, into.length);
  }

  dmaWrite(address: bigint | number, from: Uint8Array): boolean {
    if (!this.isBusMaster) return false;
    const done = this.#busAnswers() && this.host.memory.dmaWrite(this, BigInt(address), from);
    return this.#transferred('dma-write', done, address, from.length);
  }

  raiseInterrupt(vector = 0): void {
    if (!Number.isInteger(vector) || vector < 0) throw noVector(vector);
    if (!this.present) return;
    if (this.#config.msiEnabled) this.#sendMessage(vector);
    else if (this.line !== undefined) {
      this.#config.interruptStatus = true;
      this.#driveLine();
    }
    this.host.settle();
  }

  #sendMessage(vector: number): void {
    if (this.isBusMaster) this.host.interruptMessage(this.#config.msiAddress, this.#config.msiData(vector));
  }

  lowerInterrupt(): void {
    if (!this.present) return;
    const { trace } = this.host;
    if (trace.on) trace.emit('acknowledge', this.line?.irq, this.model.name);
    this.#config.interruptStatus = false;
    this.#driveLine();
  }

  #busAnswers(): boolean {
    return this.host.oracle.choose(2, 'dma.error') === 0;
  }

  /** A refusal leaves its mark in the status register, where a driver can find it. */
  #transferred(kind: 'dma-read' | 'dma-write', done: boolean, address: bigint | number, length: number): boolean {
    if (!done) this.#config.setStatus(PCI_STATUS_REC_MASTER_ABORT, true);
    const { trace } = this.host;
    if (trace.on) {
      const range = `${length} bytes at 0x${address.toString(16)}`;
      trace.emit(kind, undefined, this.model.name, done ? range : `${range}: refused`);
    }
    return done;
  }

  /** The pin is asserted while the device asks for it, and nothing keeps it silent. */
  #driveLine(): void {
    const { interruptStatus, intxEnabled } = this.#config;
    if (interruptStatus && intxEnabled) this.line?.raise(this);
    else this.line?.lower(this);
  }
}

function noVector(vector: unknown): RangeError {
  return new RangeError(`a vector is an integer from 0, not ${String(vector)}`);
}

const NOBODY: AccessHandlers = { read: () => -1, write() {} };
const NEVER: Timer = { cancel() {} };
/** What `device.delay` makes of the time that a device takes. */
const DELAYS = [1, 0, 10, 1000];
