import type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from '../devices/device.ts';
import { type ChoiceTag, calm, type Oracle } from '../explore/oracle.ts';
import { TraceLog } from '../trace/log.ts';
import { VirtualClock } from './clock.ts';
import { Cpus } from './cpu.ts';
import { IoApic } from './io-apic.ts';
import { IrqLine } from './irq-line.ts';
import type { PciFunction } from './pci-function.ts';
import { PciHost } from './pci-host.ts';

/** A device that is nothing but RAM behind a BAR, and does what a test tells it to. */
export class Probe implements DeviceModel, AccessHandlers {
  readonly name = 'probe';
  readonly config: DeviceConfig;
  readonly bars: readonly (Bar | undefined)[];
  readonly accesses: string[] = [];
  readonly registers = new DataView(new ArrayBuffer(4096));
  bus: DeviceBus | undefined = undefined;

  constructor(o: { config?: Partial<DeviceConfig>; bars?: readonly (Bar | undefined)[] } = {}) {
    this.config = { vendorId: 0x1234, deviceId: 0x5678, classCode: 0xff_0000, interruptPin: 1, ...o.config };
    this.bars = o.bars ?? [{ size: 4096 }];
  }

  attach(bus: DeviceBus): AccessHandlers {
    this.bus = bus;
    return this;
  }

  read(offset: number, width: Width, bar: number): number {
    this.accesses.push(`read ${width} ${bar}+${offset}`);
    if (width === 1) return this.registers.getUint8(offset);
    return width === 2 ? this.registers.getUint16(offset, true) : this.registers.getInt32(offset, true);
  }

  write(offset: number, value: number, width: Width, bar: number): void {
    this.accesses.push(`write ${width} ${bar}+${offset} 0x${value.toString(16)}`);
    if (width === 4) this.registers.setUint32(offset, value, true);
  }
}

export function pci(oracle: Oracle = calm) {
  const clock = new VirtualClock();
  const trace = new TraceLog(clock);
  const chip = new IoApic({ cpus: new Cpus(1), oracle, trace });
  const lines = Array.from({ length: 24 }, (_, irq) => new IrqLine(irq, chip, { cpus: new Cpus(1), oracle, trace }));
  const messages: string[] = [];
  const gone: PciFunction[] = [];
  const ram = new Uint8Array(8192);
  const memory = {
    dmaRead(_: PciFunction, address: bigint, into: Uint8Array): boolean {
      into.set(ram.subarray(Number(address), Number(address) + into.length));
      return Number(address) + into.length <= ram.length;
    },
    dmaWrite(_: PciFunction, address: bigint, from: Uint8Array): boolean {
      if (Number(address) + from.length > ram.length) return false;
      ram.set(from, Number(address));
      return true;
    },
  };
  let settled = 0;
  let next = 16;
  const host = new PciHost({
    clock,
    oracle,
    trace,
    memory,
    wire: (irq = next++) => lines[irq] as IrqLine,
    interruptMessage: (address, data) => void messages.push(`0x${address.toString(16)} ${data}`),
    settle: () => void settled++,
    unplugged: (each) => void gone.push(each),
  });
  return { host, clock, trace, lines, messages, gone, ram, settled: () => settled };
}

/** 1 for the given question, at its nth asking; else 0. */
export function once(tag: ChoiceTag, nth = 1): Oracle {
  let asked = 0;
  return { asksAtSteps: false, choose: (_, about) => (about === tag && ++asked === nth ? 1 : 0) };
}

export function busOf(probe: Probe): DeviceBus {
  if (probe.bus === undefined) throw new Error('not attached');
  return probe.bus;
}
