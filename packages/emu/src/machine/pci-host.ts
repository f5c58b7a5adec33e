import { PAGE_SIZE, PciAddress } from '@usrdrv/core';
import type { Bar, DeviceModel } from '../devices/device.ts';
import type { Oracle } from '../explore/oracle.ts';
import type { TraceLog } from '../trace/log.ts';
import { type BarWindow, barWindows } from './bar-window.ts';
import type { VirtualClock } from './clock.ts';
import type { IrqLine } from './irq-line.ts';
import { type FunctionHost, PciFunction } from './pci-function.ts';

/**
 * Virtual nanoseconds that one access takes: a load crosses the bus and comes back, in about a microsecond on PCI
 * Express. It is also why a driver that polls a register sees time pass.
 */
export const ACCESS_NS = 1000;

/** Memory as bus masters see it: through the IOMMU, or physical memory where there is none. */
export interface BusMemory {
  /** @returns false where a part was refused; what came before it has been read */
  dmaRead(requester: PciFunction, address: bigint, into: Uint8Array): boolean;
  /** @returns false where a part was refused; what came before it has been written */
  dmaWrite(requester: PciFunction, address: bigint, from: Uint8Array): boolean;
}

export interface PciHostOptions {
  readonly clock: VirtualClock;
  readonly oracle: Oracle;
  readonly trace: TraceLog;
  readonly memory: BusMemory;
  /** The line for a function's interrupt pin: that number, or without one a line that no function has yet. */
  readonly wire: (irq: number | undefined) => IrqLine;
  /** A function writes an interrupt message. */
  readonly interruptMessage: (address: bigint, data: number) => void;
  /** Lets interrupts and woken tasks run. */
  readonly settle: () => void;
  /** A function has gone, and with it whatever the kernel has of it. */
  readonly unplugged?: (gone: PciFunction) => void;
}

/** Where a device is put, and what its interrupt pin is wired to. */
export interface PlugOptions {
  /** Left out, the first free slot from 0000:00:04.0. */
  readonly address?: PciAddress | string;
  /** Left out, a line of its own. Devices that name the same line share it. */
  readonly irq?: number;
}

/** The PCI buses of the machine: who answers a configuration cycle, and who a physical address. */
export class PciHost implements FunctionHost {
  readonly clock: VirtualClock;
  readonly oracle: Oracle;
  readonly trace: TraceLog;
  readonly memory: BusMemory;
  readonly interruptMessage: (address: bigint, data: number) => void;
  readonly #functions = new Map<string, PciFunction>();
  #windows: BarWindow[] | undefined = undefined;
  #lastWindow: BarWindow | undefined = undefined;
  #accessing = false;

  constructor(private readonly o: PciHostOptions) {
    this.clock = o.clock;
    this.oracle = o.oracle;
    this.trace = o.trace;
    this.memory = o.memory;
    this.interruptMessage = o.interruptMessage;
  }

  /**
   * Puts a device into a slot, at power-on or later, places its BARs and has them decoded, as firmware does.
   * @throws TypeError an address that is neither a PciAddress nor a string of its form
   * @throws RangeError a slot that is taken; a device that no configuration header can describe; no room for its BARs
   */
  plug(model: DeviceModel, { address, irq }: PlugOptions = {}): PciFunction {
    if (typeof model?.attach !== 'function' || typeof model.config !== 'object') {
      throw new TypeError('a device has a config, bars, and a function attach');
    }
    const at = address === undefined ? this.#freeSlot() : PciAddress.from(address);
    const key = at.toString();
    if (this.#functions.has(key)) throw new RangeError(`the slot ${key} is taken`);
    const plugged = new PciFunction(this, at, model);
    for (const [index, bar] of model.bars.entries()) {
      if (bar !== undefined) plugged.placeBar(index, this.#place(bar, plugged));
    }
    if (model.config.interruptPin) plugged.wire(this.o.wire(irq));
    plugged.power();
    this.#functions.set(key, plugged);
    this.decodeChanged();
    return plugged;
  }

  /**
   * Pulls a device out, without a word before: reads of it give all ones from now on, and writes vanish.
   * @throws TypeError an address that is neither a PciAddress nor a string of its form
   * @throws RangeError nothing is there
   */
  unplug(address: PciAddress | string): void {
    const gone = this.function(address);
    if (gone === undefined) throw new RangeError(`there is no function at ${address}`);
    this.#remove(gone);
    this.settle();
  }

  /** The function at an address: a configuration cycle to where there is none reads all ones. */
  function(address: PciAddress | string): PciFunction | undefined {
    return this.#functions.get(PciAddress.from(address).toString());
  }

  /** Every function, by ascending address. */
  functions(): PciFunction[] {
    return [...this.#functions.values()].sort((a, b) => PciAddress.compare(a.address, b.address));
  }

  /** A load by the processor, of 1, 2, 4 or (then a bigint) 8 bytes. Where nobody answers, it is all ones. */
  mmioRead(physical: number, width: number): number | bigint {
    this.#accessing = true;
    try {
      const window = this.#decode(physical);
      const value = window === undefined ? allOnes(width) : window.read(physical, width);
      if (this.trace.on) this.#traceAccess('mmio-read', physical, value, window);
      return value;
    } finally {
      this.#endAccess();
    }
  }

  /** A store by the processor. Where nobody answers, it vanishes. */
  mmioWrite(physical: number, width: number, value: number | bigint): void {
    this.#accessing = true;
    try {
      const window = this.#decode(physical);
      if (this.trace.on) this.#traceAccess('mmio-write', physical, value, window);
      window?.write(physical, width, value);
    } finally {
      this.#endAccess();
    }
  }

  configAccess<T>(to: PciFunction, run: () => T): T {
    this.#accessing = true;
    try {
      this.clock.advance(ACCESS_NS);
      this.#mayHappen();
      this.#mayRemove(to);
      return run();
    } finally {
      this.#endAccess();
    }
  }

  settle(): void {
    if (!this.#accessing) this.o.settle();
  }

  decodeChanged(): void {
    this.#windows = undefined;
    this.#lastWindow = undefined;
  }

  #endAccess(): void {
    this.#accessing = false;
    this.o.settle();
  }

  /** Lets the access take its time, then finds who answers it. Successive accesses mostly go to the same window. */
  #decode(physical: number): BarWindow | undefined {
    this.clock.advance(ACCESS_NS);
    let window = this.#lastWindow;
    if (window === undefined || physical < window.start || physical >= window.end) {
      this.#windows ??= this.functions()
        .filter((each) => each.decodesMemory)
        .flatMap(barWindows);
      window = this.#windows.find(({ start, end }) => physical >= start && physical < end);
      if (window === undefined) return undefined;
      this.#lastWindow = window;
    }
    this.#mayHappen();
    this.#mayRemove(window.owner);
    return window.owner.present ? window : undefined;
  }

  /** What a device has due may happen while the processor is at work. */
  #mayHappen(): void {
    const { clock, oracle } = this;
    if (!oracle.asksAtSteps) return;
    const due = Math.min(clock.due(Number.POSITIVE_INFINITY, true), MOST_EVENTS);
    if (due === 0) return;
    const way = oracle.choose(1 + due, 'access.event');
    if (way > 0) clock.runNth(way - 1, true);
  }

  #mayRemove(accessed: PciFunction): void {
    if (this.oracle.choose(2, 'device.remove') === 1 && accessed.present) this.#remove(accessed);
  }

  #remove(gone: PciFunction): void {
    this.#functions.delete(gone.address.toString());
    gone.remove();
    this.decodeChanged();
    this.o.unplugged?.(gone);
  }

  #freeSlot(): PciAddress {
    for (let slot = FIRST_SLOT; slot < 32; slot++) {
      const address = new PciAddress({ bus: 0, slot, function: 0 });
      if (!this.#functions.has(address.toString())) return address;
    }
    throw new RangeError('every slot of bus 0 is taken: name an address on another bus');
  }

  /** The lowest place that overlaps nothing, aligned to the BAR's size. */
  #place(bar: Bar, plugged: PciFunction): number {
    const { start, end } = bar.is64Bit === true ? ABOVE_RAM : BELOW_4_GIB;
    const room = Math.max(bar.size, PAGE_SIZE);
    const taken = [...this.#functions.values(), plugged].flatMap(barWindows);
    for (let at = start; at + room <= end; at += room) {
      if (!taken.some((other) => at < other.end && other.start < at + room)) return at;
    }
    throw new RangeError(`there is no room for a BAR of ${bar.size} bytes`);
  }

  #traceAccess(kind: 'mmio-read' | 'mmio-write', physical: number, value: number | bigint, to?: BarWindow): void {
    const where =
      to === undefined ? `0x${physical.toString(16)}` : `bar ${to.bar} +0x${(physical - to.start).toString(16)}`;
    this.trace.emit(kind, undefined, to?.owner.model.name ?? 'nobody', `${where} = 0x${value.toString(16)}`);
  }
}

/** A PC has parts of its own in the slots before: the host bridge, the bridge to what was ISA, the display. */
const FIRST_SLOT = 4;

/** So many of the events that devices have due can come at an access. */
const MOST_EVENTS = 3;

/** Where BARs are placed: the hole that a PC leaves in memory below 4 GiB, or above all RAM. No two share a page. */
const BELOW_4_GIB = { start: 0xe000_0000, end: 0xfec0_0000 };
const ABOVE_RAM = { start: 2 ** 40, end: 2 ** 46 };

function allOnes(width: number): number | bigint {
  return width === 8 ? 0xffff_ffff_ffff_ffffn : 2 ** (8 * width) - 1;
}
