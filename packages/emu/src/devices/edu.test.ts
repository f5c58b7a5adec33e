import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_PIN,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { type ChoiceTag, calm, type Oracle } from '../explore/oracle.ts';
import { VirtualClock } from '../machine/clock.ts';
import { Cpus } from '../machine/cpu.ts';
import { DmaDevice } from '../machine/dma-api.ts';
import { DmaDebug } from '../machine/dma-debug.ts';
import { IoApic } from '../machine/io-apic.ts';
import { Iommu } from '../machine/iommu.ts';
import { IrqLine } from '../machine/irq-line.ts';
import { PhysicalMemory } from '../machine/memory.ts';
import { PciHost } from '../machine/pci-host.ts';
import { TraceLog } from '../trace/log.ts';
import { EduDevice } from './edu.ts';

const MS = 1e6;
const MASTER = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

/** The device in a slot, with its registers, its line and a page of memory, and no kernel. */
function plugged(o: { oracle?: Oracle; edu?: EduDevice } = {}) {
  const { oracle = calm, edu = new EduDevice() } = o;
  const clock = new VirtualClock();
  const trace = new TraceLog(clock);
  const fabric = { cpus: new Cpus(1), oracle, trace };
  const line = new IrqLine(16, new IoApic(fabric), fabric);
  const messages: number[] = [];
  const memory = new PhysicalMemory(2 ** 28, trace);
  const iommu = new Iommu(memory, new DmaDebug(), oracle, trace, true);
  const host = new PciHost({
    clock,
    oracle,
    trace,
    memory: iommu,
    wire: () => line,
    interruptMessage: (_, data) => void messages.push(data),
    settle() {},
  });
  const fn = host.plug(edu);
  fn.configWrite(PCI_COMMAND, MASTER, 2);
  const base = fn.barAddress(0) ?? 0;
  const dma = new DmaDevice(iommu, fn);
  dma.setMask(0xfff_ffffn);
  const map = (direction: number) => {
    const bytes = new Uint8Array(4096);
    const frame = memory.allocFrame(bytes);
    const mapping = frame && dma.mapSg([{ frame, offset: 0, length: 4096 }], direction);
    if (mapping === undefined) throw new Error('no memory');
    return { bytes, address: mapping.address };
  };
  return {
    edu,
    fn,
    host,
    clock,
    line,
    messages,
    debug: iommu.debug,
    map,
    r32: (offset: number) => Number(host.mmioRead(base + offset, 4)),
    w32: (offset: number, value: number) => host.mmioWrite(base + offset, 4, value),
    r64: (offset: number) => BigInt(host.mmioRead(base + offset, 8)),
    w64: (offset: number, value: bigint) => host.mmioWrite(base + offset, 8, value),
    access: (offset: number, width: 1 | 2) => Number(host.mmioRead(base + offset, width)),
    store: (offset: number, width: 1 | 2, value: number) => host.mmioWrite(base + offset, width, value),
    transfer(source: number, destination: number, count: number, command: number) {
      this.w64(0x80, BigInt(source));
      this.w64(0x88, BigInt(destination));
      this.w64(0x90, BigInt(count));
      this.w64(0x98, BigInt(command));
    },
  };
}

function always(tag: ChoiceTag): Oracle {
  return { asksAtSteps: false, choose: (_, about) => (about === tag ? 1 : 0) };
}

describe('identification', () => {
  test('1234:11e8, revision 10, class 00ff, 1 MiB of registers, pin A, MSI with one 64-bit vector', () => {
    const { fn, host } = plugged();
    expect(fn.configRead(PCI_VENDOR_ID, 4)).toBe(0x11e8_1234);
    expect(fn.configRead(PCI_CLASS_REVISION, 4)).toBe(0x00ff_0010);
    expect(fn.configRead(PCI_SUBSYSTEM_VENDOR_ID, 4)).toBe(0x1100_1af4);
    expect(fn.configRead(PCI_INTERRUPT_PIN, 1)).toBe(1);
    expect(fn.configRead(fn.configRead(PCI_CAPABILITY_LIST, 1), 4)).toBe(0x0080_0005);
    const base = fn.barAddress(0) ?? 0;
    expect(host.mmioRead(base, 4)).toBe(0x0100_00ed);
    expect(host.mmioRead(base + 0xf_fffc, 4)).toBe(0xffff_ffff);
    fn.configWrite(0x10, 0xffff_ffff, 4);
    expect(fn.configRead(0x10, 4)).toBe(0xfff0_0000);
  });

  test('the liveness register inverts', () => {
    const { r32, w32 } = plugged();
    w32(0x04, 5);
    expect(r32(0x04)).toBe(0xffff_fffa);
    w32(0x04, 0x8000_0000);
    expect(r32(0x04)).toBe(0x7fff_ffff);
  });
});

describe('access widths', () => {
  test('below 0x80 only 4 bytes are taken: 8 read all ones, fewer 0, and writes vanish', () => {
    const { access, r64, w64, store, r32, w32 } = plugged();
    w32(0x04, 0);
    expect([access(0x00, 1), access(0x00, 2), r64(0x00)]).toEqual([0, 0, 0xffff_ffff_ffff_ffffn]);
    store(0x04, 1, 1);
    store(0x04, 2, 1);
    w64(0x00, 1n << 32n);
    expect(r32(0x04)).toBe(0xffff_ffff);
  });

  test('from 0x80 on, 4 bytes read the lower half and write the whole', () => {
    const { access, r64, w64, r32, w32, store } = plugged();
    w64(0x80, 0x1122_3344_5566_7788n);
    expect([r64(0x80), r32(0x80), r32(0x84), access(0x80, 2)]).toEqual([
      0x1122_3344_5566_7788n,
      0x5566_7788,
      0xffff_ffff,
      0,
    ]);
    store(0x80, 2, 1);
    w32(0x80, 0x99);
    expect(r64(0x80)).toBe(0x99n);
  });

  test.each([0x0c, 0x60, 0x64, 0x9c, 0xa0, 0x4_0000])('nothing is to be read at 0x%s', (offset) => {
    expect(plugged().r32(offset)).toBe(0xffff_ffff);
  });
});

describe('the factorial', () => {
  test.each([
    [0, 1],
    [1, 1],
    [5, 120],
    [12, 479_001_600],
    [13, 1_932_053_504],
    [33, 0x8000_0000],
    [34, 0],
    [0xffff_ffff, 0],
  ])('of %s is %s in 32 bits', (n, result) => {
    const { r32, w32, clock } = plugged();
    w32(0x08, n);
    clock.advance(5e9);
    expect(r32(0x08)).toBe(result);
  });

  test('takes 10 us and a nanosecond for each factor; the status says so, and the register keeps its number', () => {
    const { r32, w32, clock } = plugged();
    w32(0x08, 1e6);
    expect([r32(0x20), r32(0x08)]).toEqual([1, 1e6]);
    w32(0x08, 3);
    clock.advance(10_000 + 1e6 - 4000);
    expect(r32(0x20)).toBe(0);
    expect(r32(0x08)).toBe(0);
  });

  test('interrupts when done where the status register asks for it, also if it asks in the middle', () => {
    const { r32, w32, clock, line } = plugged();
    w32(0x20, 0xffff_ffff);
    expect(r32(0x20)).toBe(0x80);
    w32(0x08, 4);
    clock.advance(MS);
    expect([r32(0x24), line.asserted]).toEqual([1, true]);
    w32(0x64, 1);
    w32(0x20, 0);
    w32(0x08, 4);
    clock.advance(MS);
    expect([r32(0x24), line.asserted]).toEqual([0, false]);
    w32(0x08, 1000);
    w32(0x20, 0x80);
    expect(r32(0x20)).toBe(0x81);
    clock.advance(MS);
    expect(r32(0x24)).toBe(1);
  });
});

describe('the interrupt registers', () => {
  test('raise adds to the status and holds the line until all of it is acknowledged', () => {
    const { r32, w32, line } = plugged();
    w32(0x60, 0);
    expect(line.asserted).toBe(false);
    w32(0x60, 0x8000_0001);
    w32(0x60, 0x10);
    expect(r32(0x24)).toBe(0x8000_0011);
    w32(0x64, 0x8000_0010);
    expect([r32(0x24), line.asserted]).toEqual([1, true]);
    w32(0x64, 0xffff_ffff);
    expect([r32(0x24), line.asserted]).toEqual([0, false]);
  });

  test('with MSI each raise is a message, acknowledged or not', () => {
    const { fn, w32, line, messages } = plugged();
    fn.configWrite(0x4c, 40, 2);
    fn.configWrite(0x42, 1, 2);
    w32(0x60, 1);
    w32(0x60, 1);
    w32(0x64, 1);
    w32(0x60, 2);
    expect(messages).toEqual([40, 40, 40]);
    expect(line.asserted).toBe(false);
  });
});

describe('DMA', () => {
  test('moves memory to the device and back in 100 ms each', () => {
    const world = plugged();
    const [from, to] = [world.map(DMA_TO_DEVICE), world.map(DMA_FROM_DEVICE)];
    from.bytes.set([1, 2, 3, 4, 5], 100);
    world.debug.on = false;
    world.transfer(from.address + 101, 0x4_0010, 3, 1);
    expect(world.r64(0x98)).toBe(1n);
    world.clock.advance(99 * MS);
    expect(world.r64(0x98)).toBe(1n);
    world.clock.advance(MS);
    expect(world.r64(0x98)).toBe(0n);
    expect([...world.edu.buffer.subarray(0xf, 0x14)]).toEqual([0, 2, 3, 4, 0]);
    world.transfer(0x4_0011, to.address, 2, 3);
    world.clock.advance(100 * MS);
    expect([...to.bytes.subarray(0, 3)]).toEqual([3, 4, 0]);
    expect([world.r64(0x98), world.r32(0x24), world.line.asserted]).toEqual([2n, 0, false]);
  });

  test('interrupts with 0x100 when it is done, where the command asks for it', () => {
    const world = plugged();
    const { address } = world.map(DMA_BIDIRECTIONAL);
    world.transfer(address, 0x4_0000, 16, 0xf5);
    world.clock.advance(100 * MS);
    expect([world.r64(0x98), world.r32(0x24), world.line.asserted]).toEqual([0xf4n, 0x100, true]);
  });

  test('takes no writes while it runs, and does not start without its start bit', () => {
    const world = plugged();
    const { address } = world.map(DMA_BIDIRECTIONAL);
    world.w64(0x98, 6n);
    expect(world.r64(0x98)).toBe(0n);
    world.transfer(address, 0x4_0000, 16, 5);
    world.clock.advance(60 * MS);
    world.transfer(1, 2, 3, 1);
    const registers = [0x80, 0x88, 0x90, 0x98].map((offset) => world.r64(offset));
    expect(registers).toEqual([BigInt(address), 0x4_0000n, 16n, 5n]);
    world.clock.advance(40 * MS);
    expect(world.r64(0x98)).toBe(4n);
  });

  test.each([
    [0x4_0000, 4096],
    [0x4_0fff, 1],
    [0x4_0000, 0],
    [0x4_1000, 0],
  ])('at 0x%s of the device, %s bytes are inside its buffer', (inside, count) => {
    const world = plugged();
    const { address, bytes } = world.map(DMA_BIDIRECTIONAL);
    world.edu.buffer.fill(7);
    world.transfer(inside, address, count, 3);
    world.clock.advance(100 * MS);
    expect(bytes.filter((byte) => byte === 7)).toHaveLength(count);
    expect([world.r64(0x98), world.edu.errors.length]).toEqual([2n, 0]);
  });

  test.each([
    [0x4_0000, 4097],
    [0x4_0fff, 2],
    [0x3_ffff, 1],
    [0, 4096],
    [0x4_1001, 0],
    [0x4_0000, 2 ** 53],
  ])('at 0x%s of the device, %s bytes are outside: it hangs, and its back door says why', (inside, count) => {
    const world = plugged();
    const { address, bytes } = world.map(DMA_BIDIRECTIONAL);
    for (const [source, destination, command] of [
      [inside, address, 7],
      [address, inside, 5],
    ] as const) {
      const { edu, clock } = world;
      edu.buffer.fill(7);
      world.transfer(source, destination, count, command);
      clock.advance(1000 * MS);
      expect([world.r64(0x98), world.r32(0x24)]).toEqual([BigInt(command), 0]);
      expect(edu.errors.at(-1)).toContain(`0x${inside.toString(16)}`);
      expect([bytes.every((byte) => byte === 0), edu.buffer.every((byte) => byte === 7)]).toEqual([true, true]);
      world.host.unplug('00:04.0');
      world.host.plug(edu).configWrite(PCI_COMMAND, MASTER, 2);
    }
    expect(world.edu.errors).toHaveLength(2);
    expect(world.r64(0x98)).toBe(0n);
  });

  test('puts out 28 bits of address, or those of its mask', () => {
    const world = plugged();
    const { address, bytes } = world.map(DMA_BIDIRECTIONAL);
    bytes[0] = 9;
    world.transfer(address + 2 ** 28, 0x4_0000, 1, 1);
    world.clock.advance(100 * MS);
    expect(world.edu.buffer[0]).toBe(9);
    const wide = plugged({ edu: new EduDevice({ dmaMask: 0xffff_ffffn }) });
    wide.transfer(wide.map(DMA_BIDIRECTIONAL).address + 2 ** 28, 0x4_0000, 1, 1);
    wide.clock.advance(100 * MS);
    expect(wide.debug.reports.map(({ what }) => what)).toEqual(['outside every mapping']);
  });

  test('that the bus refuses completes all the same: what could not be read is 0', () => {
    const world = plugged();
    const { address } = world.map(DMA_FROM_DEVICE);
    world.edu.buffer.fill(7);
    world.transfer(address, 0x4_0000, 4, 5);
    world.clock.advance(100 * MS);
    expect([...world.edu.buffer.subarray(0, 5)]).toEqual([0, 0, 0, 0, 7]);
    expect([world.r64(0x98), world.r32(0x24)]).toEqual([4n, 0x100]);
    expect(world.debug.reports.map(({ what }) => what)).toEqual(['device read']);
  });

  test('without bus mastering moves nothing', () => {
    const world = plugged();
    const { address, bytes } = world.map(DMA_BIDIRECTIONAL);
    world.fn.configWrite(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    world.edu.buffer.fill(7);
    world.transfer(0x4_0000, address, 4, 3);
    world.clock.advance(100 * MS);
    expect([world.r64(0x98), bytes[0]]).toEqual([2n, 0]);
  });
});

describe('faults', () => {
  test('a stalled device never completes, by its back door or by the oracle', () => {
    const world = plugged();
    world.edu.stalled = true;
    world.w32(0x08, 3);
    world.transfer(0, 0x4_0000, 0, 1);
    const other = plugged({ oracle: always('device.stall') });
    other.w32(0x08, 3);
    for (const { clock, r32 } of [world, other]) {
      clock.advance(1000 * MS);
      expect([r32(0x20), r32(0x08)]).toEqual([1, 3]);
    }
    expect(world.r64(0x98)).toBe(1n);
  });

  test('the back door raises interrupts', () => {
    const { edu, r32, line } = plugged();
    edu.raise(0x40);
    expect([r32(0x24), line.asserted]).toEqual([0x40, true]);
  });

  test('plugged in anew, it starts from its reset state', () => {
    const { edu, host, clock, r32, w32 } = plugged();
    w32(0x04, 1);
    w32(0x20, 0x80);
    w32(0x60, 1);
    w32(0x08, 1e6);
    edu.buffer.fill(1);
    host.unplug('00:04.0');
    expect(r32(0x00)).toBe(0xffff_ffff);
    host.plug(edu);
    clock.advance(100 * MS);
    expect([0x04, 0x08, 0x20, 0x24].map(r32)).toEqual([0, 0, 0, 0]);
    expect(edu.buffer.every((byte) => byte === 0)).toBe(true);
  });
});
