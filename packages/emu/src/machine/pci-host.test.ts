import {
  PCI_BASE_ADDRESS_0,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
  PCI_VENDOR_ID,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from '../devices/device.ts';
import { type ChoiceTag, calm, type Oracle } from '../explore/oracle.ts';
import { TraceLog } from '../trace/log.ts';
import { VirtualClock } from './clock.ts';
import { Cpus } from './cpu.ts';
import { IoApic } from './io-apic.ts';
import { IrqLine } from './irq-line.ts';
import { PCI_STATUS_REC_MASTER_ABORT } from './pci-config.ts';
import type { PciFunction } from './pci-function.ts';
import { ACCESS_NS, PciHost } from './pci-host.ts';

/** A device that is nothing but RAM behind a BAR, and does what a test tells it to. */
class Probe implements DeviceModel, AccessHandlers {
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

function pci(oracle: Oracle = calm) {
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
function once(tag: ChoiceTag, nth = 1): Oracle {
  let asked = 0;
  return { asksAtSteps: false, choose: (_, about) => (about === tag && ++asked === nth ? 1 : 0) };
}

function busOf(probe: Probe): DeviceBus {
  if (probe.bus === undefined) throw new Error('not attached');
  return probe.bus;
}

describe('configuration registers', () => {
  test('identify the device, and cannot be written where they are read-only', () => {
    const { host } = pci();
    const config = { revision: 7, subsystemVendorId: 0x1af4, subsystemId: 0x1100 };
    const fn = host.plug(new Probe({ config }));
    for (let offset = 0; offset < 256; offset += 4) {
      if (offset !== PCI_COMMAND) fn.configWrite(offset, 0xffff_ffff, 4);
    }
    expect(fn.configRead(PCI_VENDOR_ID, 4)).toBe(0x5678_1234);
    expect(fn.configRead(PCI_CLASS_REVISION, 4)).toBe(0xff00_0007);
    expect(fn.configRead(0x2c, 4)).toBe(0x1100_1af4);
    expect(fn.configRead(0x3c, 4)).toBe(0x01ff);
    expect(fn.configRead(0x30, 4)).toBe(0);
  });

  test('take accesses of 8, 16 and 32 bits', () => {
    const fn = pci().host.plug(new Probe());
    expect(fn.configRead(PCI_VENDOR_ID + 1, 1)).toBe(0x12);
    expect(fn.configRead(PCI_VENDOR_ID + 2, 2)).toBe(0x5678);
    fn.configWrite(PCI_INTERRUPT_LINE, 0x21, 1);
    expect(fn.configRead(PCI_INTERRUPT_LINE, 1)).toBe(0x21);
    fn.configWrite(PCI_COMMAND + 1, 0xff, 1);
    expect(fn.configRead(PCI_COMMAND, 2)).toBe(PCI_COMMAND_MEMORY | 0x500);
  });

  test.each([
    [256, 4],
    [-4, 4],
    [2, 4],
    [1, 2],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const)('refuse an access at %s of %s bytes', (offset, width) => {
    const fn = pci().host.plug(new Probe());
    expect(() => fn.configRead(offset, width)).toThrow(RangeError);
    expect(() => fn.configWrite(offset, 0, width)).toThrow(RangeError);
  });

  test('refuse a value that does not fit', () => {
    const fn = pci().host.plug(new Probe());
    expect(() => fn.configWrite(PCI_COMMAND, 0x1_0000, 2)).toThrow(RangeError);
    expect(fn.configRead(PCI_COMMAND, 2)).toBe(PCI_COMMAND_MEMORY);
  });

  test('a BAR tells its size to who writes all ones', () => {
    const bars = [{ size: 0x10_0000 }, { size: 256, prefetchable: true }, { size: 2 ** 33, is64Bit: true }];
    const fn = pci().host.plug(new Probe({ bars }));
    const sizeOf = (bar: number): number => {
      fn.configWrite(PCI_BASE_ADDRESS_0 + 4 * bar, 0xffff_ffff, 4);
      return fn.configRead(PCI_BASE_ADDRESS_0 + 4 * bar, 4);
    };
    expect([0, 1, 2, 3, 4, 5].map(sizeOf)).toEqual([0xfff0_0000, 0xffff_ff08, 0x4, 0xffff_fffe, 0, 0]);
  });

  test('the interrupt pin shows the line that it is wired to', () => {
    const { host } = pci();
    expect(host.plug(new Probe(), { irq: 19 }).configRead(PCI_INTERRUPT_LINE, 2)).toBe(0x0100 + 19);
    expect(host.plug(new Probe({ config: { interruptPin: 0 } })).configRead(PCI_INTERRUPT_LINE, 2)).toBe(0);
  });

  test.each([
    [{ config: { vendorId: 0xffff } }, 'vendorId'],
    [{ config: { vendorId: 0x1_0000 } }, 'vendorId'],
    [{ config: { deviceId: -1 } }, 'deviceId'],
    [{ config: { classCode: 0x100_0000 } }, 'classCode'],
    [{ config: { revision: 1.5 } }, 'revision'],
    [{ config: { interruptPin: 5 } }, 'interruptPin'],
    [{ config: { msi: { vectors: 3 } } }, 'MSI vectors, not 3'],
    [{ config: { msi: { vectors: 64 } } }, 'MSI vectors, not 64'],
    [{ bars: [{ size: 8 }] }, 'BAR 0'],
    [{ bars: [{ size: 24 }] }, 'BAR 0'],
    [{ bars: [{ size: 2 ** 32 }] }, 'BAR 0'],
    [{ bars: [{ size: 16, is64Bit: true }, { size: 16 }] }, 'BAR 1'],
    [{ bars: [undefined, undefined, undefined, undefined, undefined, { size: 16, is64Bit: true }] }, 'BAR 6'],
    [{ bars: new Array<Bar>(7).fill({ size: 16 }) }, 'not 7'],
    [{ bars: [{ size: 2 ** 31 }] }, 'no room'],
  ])('what no header can describe is refused, and the slot stays free: %j', (o, says) => {
    const { host } = pci();
    expect(() => host.plug(new Probe(o))).toThrow(says);
    expect(host.functions()).toEqual([]);
  });
});

describe('memory accesses', () => {
  test('reach the register that the BAR decodes, in the width that they have', () => {
    const { host } = pci();
    const probe = new Probe({ bars: [undefined, { size: 4096 }] });
    const fn = host.plug(probe);
    const base = fn.barAddress(1) ?? 0;
    host.mmioWrite(base + 8, 4, 0xdead_beef);
    expect(host.mmioRead(base + 8, 4)).toBe(0xdead_beef);
    expect(host.mmioRead(base + 10, 2)).toBe(0xdead);
    expect(host.mmioRead(base + 9, 1)).toBe(0xbe);
    expect(probe.accesses).toEqual(['write 4 1+8 0xdeadbeef', 'read 4 1+8', 'read 2 1+10', 'read 1 1+9']);
  });

  test('of 8 bytes are two of 4 where the device has no other', () => {
    const { host } = pci();
    const probe = new Probe();
    const base = host.plug(probe).barAddress(0) ?? 0;
    host.mmioWrite(base, 8, 0x8877_6655_c433_2211n);
    expect(host.mmioRead(base, 8)).toBe(0x8877_6655_c433_2211n);
    expect(probe.accesses).toEqual(['write 4 0+0 0xc4332211', 'write 4 0+4 0x88776655', 'read 4 0+0', 'read 4 0+4']);
  });

  test('find nobody where no BAR is, or decoding is off: all ones, and writes vanish', () => {
    const { host } = pci();
    const probe = new Probe();
    const fn = host.plug(probe);
    const base = fn.barAddress(0) ?? 0;
    expect(host.mmioRead(base, 4)).toBe(0);
    fn.configWrite(PCI_COMMAND, 0, 2);
    host.mmioWrite(base, 4, 5);
    expect([host.mmioRead(base, 1), host.mmioRead(base, 4)]).toEqual([0xff, 0xffff_ffff]);
    expect(host.mmioRead(base, 8)).toBe(0xffff_ffff_ffff_ffffn);
    expect(host.mmioRead(base + 4096, 2)).toBe(0xffff);
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    expect(host.mmioRead(base, 4)).toBe(0);
  });

  test('follow a BAR that is moved', () => {
    const { host } = pci();
    const fn = host.plug(new Probe());
    const base = fn.barAddress(0) ?? 0;
    fn.configWrite(PCI_BASE_ADDRESS_0, 0xfea0_0000, 4);
    expect(host.mmioRead(base, 4)).toBe(0xffff_ffff);
    expect(host.mmioRead(0xfea0_0000, 4)).toBe(0);
  });

  test('take virtual time, and interrupts that they cause come when they are over', () => {
    const { host, clock, settled } = pci();
    const probe = new Probe();
    const base = host.plug(probe).barAddress(0) ?? 0;
    let during = -1;
    probe.write = () => {
      busOf(probe).raiseInterrupt();
      during = settled();
    };
    const before = clock.now;
    host.mmioWrite(base, 4, 1);
    expect(clock.now - before).toBe(ACCESS_NS);
    expect(settled()).toBe(during + 1);
  });

  test('are in the trace, where it is on', () => {
    const { host, trace } = pci();
    const base = host.plug(new Probe()).barAddress(0) ?? 0;
    trace.on = true;
    host.mmioWrite(base + 4, 4, 0x10);
    host.mmioRead(base + 0x10_0000, 4);
    expect(trace.events.map(({ kind, who, detail }) => `${kind} ${who} ${detail}`)).toEqual([
      'mmio-write probe bar 0 +0x4 = 0x10',
      `mmio-read nobody 0x${(base + 0x10_0000).toString(16)} = 0xffffffff`,
    ]);
  });

  test('no two BARs are placed on one page', () => {
    const { host } = pci();
    const bars = [{ size: 16 }, { size: 0x1_0000 }, { size: 16, is64Bit: true }, undefined, { size: 32 }];
    const pages = Array.from({ length: 8 }, () => host.plug(new Probe({ bars }))).flatMap((fn) =>
      [0, 1, 2, 4].map((bar) => (fn.barAddress(bar) ?? 0) / 4096),
    );
    expect(new Set(pages).size).toBe(32);
    expect(pages.every(Number.isInteger)).toBe(true);
  });
});

describe('the interrupt line', () => {
  test('is held from raise to lower, and shared with who is wired to it too', () => {
    const { host, lines } = pci();
    const [a, b] = [new Probe(), new Probe()];
    const fn = host.plug(a, { irq: 17 });
    host.plug(b, { irq: 17 });
    busOf(a).raiseInterrupt();
    busOf(a).raiseInterrupt();
    busOf(b).raiseInterrupt();
    expect(fn.configRead(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT).toBe(PCI_STATUS_INTERRUPT);
    busOf(a).lowerInterrupt();
    expect(fn.configRead(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT).toBe(0);
    expect(lines[17]?.asserted).toBe(true);
    busOf(b).lowerInterrupt();
    expect(lines[17]?.asserted).toBe(false);
  });

  test('is silent while command bit 10 is set, and what is pending shows in the status register', () => {
    const { host, lines } = pci();
    const probe = new Probe();
    const fn = host.plug(probe, { irq: 17 });
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    busOf(probe).raiseInterrupt();
    expect(lines[17]?.asserted).toBe(false);
    expect(fn.configRead(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT).toBe(PCI_STATUS_INTERRUPT);
    fn.configWrite(PCI_COMMAND, 0, 2);
    expect(lines[17]?.asserted).toBe(true);
  });

  test('each device that names none has one of its own', () => {
    const { host } = pci();
    expect([host.plug(new Probe()), host.plug(new Probe())].map((fn) => fn.line?.irq)).toEqual([16, 17]);
  });
});

describe('MSI', () => {
  const MASTER = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

  function withMsi(vectors = 1) {
    const world = pci();
    const probe = new Probe({ config: { msi: { vectors } } });
    const fn = world.host.plug(probe, { irq: 17 });
    const at = fn.configRead(PCI_CAPABILITY_LIST, 1);
    fn.configWrite(PCI_COMMAND, MASTER, 2);
    fn.configWrite(at + 4, 0xfee0_1000, 4);
    fn.configWrite(at + 12, 0x4140, 2);
    return { ...world, fn, at, bus: busOf(probe) };
  }

  test('is the one capability: 64-bit addresses, no per-vector masking', () => {
    const { fn, at } = withMsi();
    expect(fn.configRead(PCI_STATUS, 2) & 0x10).toBe(0x10);
    expect(fn.configRead(at, 4)).toBe(0x0080_0005);
    expect(pci().host.plug(new Probe()).configRead(PCI_STATUS, 2)).toBe(0);
  });

  test('enabled, sends one message for each raise, and leaves the line alone', () => {
    const { fn, at, bus, messages, lines } = withMsi();
    fn.configWrite(at + 8, 0x1, 4);
    fn.configWrite(at + 2, 1, 2);
    bus.raiseInterrupt();
    bus.raiseInterrupt();
    bus.lowerInterrupt();
    expect(messages).toEqual(['0x1fee01000 16704', '0x1fee01000 16704']);
    expect(lines[17]?.asserted).toBe(false);
  });

  test('being enabled, lets a held line go', () => {
    const { fn, at, bus, messages, lines } = withMsi();
    bus.raiseInterrupt();
    fn.configWrite(at + 2, 1, 2);
    expect(lines[17]?.asserted).toBe(false);
    expect(fn.configRead(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT).toBe(0);
    fn.configWrite(at + 2, 0, 2);
    expect(lines[17]?.asserted).toBe(false);
    expect(messages).toEqual([]);
  });

  test('without bus mastering no message leaves', () => {
    const { fn, at, bus, messages, lines } = withMsi();
    fn.configWrite(at + 2, 1, 2);
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    bus.raiseInterrupt();
    expect(messages).toEqual([]);
    expect(lines[17]?.asserted).toBe(false);
  });

  test('a vector stands in the low bits of the data, as many as were granted; the others share the last', () => {
    const { fn, at, bus, messages } = withMsi(4);
    expect(fn.configRead(at + 2, 2)).toBe(0x0084);
    fn.configWrite(at + 2, 0x0011, 2);
    for (const vector of [0, 1, 3]) bus.raiseInterrupt(vector);
    expect(messages).toEqual(['0xfee01000 16704', '0xfee01000 16705', '0xfee01000 16705']);
    fn.configWrite(at + 2, 0x0071, 2);
    expect(fn.configRead(at + 2, 2)).toBe(0x00a5);
  });

  test.each([-1, 0.5, Number.NaN])('there is no vector %s', (vector) => {
    expect(() => withMsi().bus.raiseInterrupt(vector)).toThrow(RangeError);
  });
});

describe('a bus master', () => {
  function master(oracle: Oracle = calm) {
    const world = pci(oracle);
    const probe = new Probe();
    const fn = world.host.plug(probe);
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    return { ...world, fn, bus: busOf(probe) };
  }

  test('reads and writes memory', () => {
    const { bus, ram } = master();
    expect(bus.dmaWrite(16, Uint8Array.of(1, 2, 3))).toBe(true);
    expect([...ram.subarray(15, 20)]).toEqual([0, 1, 2, 3, 0]);
    const into = new Uint8Array(2);
    expect(bus.dmaRead(17n, into)).toBe(true);
    expect([...into]).toEqual([2, 3]);
  });

  test('moves nothing while the command register does not let it', () => {
    const { bus, fn, ram } = master();
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    expect(bus.dmaWrite(0, Uint8Array.of(1))).toBe(false);
    expect(bus.dmaRead(0, new Uint8Array(1))).toBe(false);
    expect(ram[0]).toBe(0);
  });

  test('that is refused finds the master abort in its status, until that is written with 1', () => {
    const { bus, fn } = master();
    expect(bus.dmaWrite(8192, Uint8Array.of(1))).toBe(false);
    expect(fn.configRead(PCI_STATUS, 2)).toBe(PCI_STATUS_REC_MASTER_ABORT);
    fn.configWrite(PCI_STATUS, 0x0fff, 2);
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    expect(fn.configRead(PCI_STATUS, 2)).toBe(PCI_STATUS_REC_MASTER_ABORT);
    fn.configWrite(PCI_STATUS + 1, 0x20, 1);
    expect(fn.configRead(PCI_STATUS, 2)).toBe(0);
    bus.dmaWrite(8192, Uint8Array.of(1));
    fn.configWrite(PCI_COMMAND, 0xffff_0000 + PCI_COMMAND_MASTER, 4);
    expect(fn.configRead(PCI_STATUS, 2)).toBe(0);
  });

  test('fails where the oracle says so (dma.error)', () => {
    const { bus, ram } = master(once('dma.error', 2));
    expect(bus.dmaWrite(0, Uint8Array.of(1))).toBe(true);
    expect(bus.dmaWrite(1, Uint8Array.of(1))).toBe(false);
    expect(bus.dmaWrite(2, Uint8Array.of(1))).toBe(true);
    expect([...ram.subarray(0, 3)]).toEqual([1, 0, 1]);
  });
});

describe('time', () => {
  test('work is done when it is due', () => {
    const { host, clock } = pci();
    const probe = new Probe();
    host.plug(probe);
    let at = -1;
    busOf(probe).after(500, () => {
      at = busOf(probe).now;
    });
    clock.advance(499);
    expect(at).toBe(-1);
    clock.advance(1);
    expect(at).toBe(500);
  });

  test('work never completes where the oracle stalls the device (device.stall)', () => {
    const { host, clock } = pci(once('device.stall'));
    const probe = new Probe();
    host.plug(probe);
    const done: number[] = [];
    busOf(probe).after(1, () => done.push(1));
    busOf(probe).after(1, () => done.push(2));
    clock.advance(10);
    expect(done).toEqual([2]);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('there is no time %s', (ns) => {
    const { host } = pci();
    const probe = new Probe();
    host.plug(probe);
    expect(() => busOf(probe).after(ns, () => {})).toThrow(RangeError);
  });
});

describe('plugging', () => {
  test('fills the slots from 0000:00:04.0 on, or the one that is named', () => {
    const { host } = pci();
    host.plug(new Probe(), { address: '0001:02:1f.7' });
    host.plug(new Probe());
    host.plug(new Probe(), { address: '00:05.0' });
    host.plug(new Probe());
    const addresses = ['0000:00:04.0', '0000:00:05.0', '0000:00:06.0', '0001:02:1f.7'];
    expect(host.functions().map((fn) => `${fn.address}`)).toEqual(addresses);
    expect(host.function('00:05.0')?.address.slot).toBe(5);
    expect(host.function('00:07.0')).toBeUndefined();
  });

  test('refuses a slot that is taken, and a bad address', () => {
    const { host } = pci();
    host.plug(new Probe(), { address: '00:04.0' });
    expect(() => host.plug(new Probe(), { address: '0000:00:04.0' })).toThrow('0000:00:04.0 is taken');
    expect(() => host.plug(new Probe(), { address: 'nowhere' })).toThrow(TypeError);
    expect(() => host.plug(new Probe(), { address: '00:20.0' })).toThrow(RangeError);
    expect(() => host.unplug('00:05.0')).toThrow('no function at 00:05.0');
    expect(host.functions()).toHaveLength(1);
  });

  test('pulling a device out: reads give all ones, writes vanish, and nothing more comes from it', () => {
    const { host, clock, lines, gone, ram } = pci();
    const probe = new Probe();
    const fn = host.plug(probe, { irq: 17 });
    const base = fn.barAddress(0) ?? 0;
    fn.configWrite(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    const bus = busOf(probe);
    const done: number[] = [];
    bus.after(1e6, () => done.push(1));
    bus.raiseInterrupt();
    host.unplug('00:04.0');
    expect(gone).toEqual([fn]);
    expect(lines[17]?.asserted).toBe(false);
    host.mmioWrite(base, 4, 1);
    expect(host.mmioRead(base, 4)).toBe(0xffff_ffff);
    fn.configWrite(PCI_COMMAND, 0, 2);
    expect([fn.configRead(0, 1), fn.configRead(0, 2), fn.configRead(0, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
    bus.raiseInterrupt();
    expect(lines[17]?.asserted).toBe(false);
    expect(bus.dmaWrite(0, Uint8Array.of(1))).toBe(false);
    bus.after(1, () => done.push(2));
    clock.advance(1e7);
    expect([...done, ram[0]]).toEqual([0]);
    expect(host.functions()).toEqual([]);
  });

  test('a device that was pulled out can be plugged in again, and starts anew', () => {
    const { host } = pci();
    const probe = new Probe();
    const first = host.plug(probe);
    const before = busOf(probe);
    host.unplug(first.address);
    const again = host.plug(probe);
    expect(busOf(probe)).not.toBe(before);
    expect(again.address).toEqual(first.address);
    expect(host.mmioRead(again.barAddress(0) ?? 0, 4)).toBe(0);
  });

  test('the oracle can pull a device out at any access (device.remove)', () => {
    const { host, gone } = pci(once('device.remove', 3));
    const probe = new Probe();
    const fn = host.plug(probe);
    const base = fn.barAddress(0) ?? 0;
    expect(host.mmioRead(base, 4)).toBe(0);
    expect(fn.configRead(0, 2)).toBe(0x1234);
    expect(host.mmioRead(base, 4)).toBe(0xffff_ffff);
    expect(probe.accesses).toEqual(['read 4 0+0']);
    expect(gone).toEqual([fn]);
  });
});
