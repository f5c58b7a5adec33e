import {
  PCI_BASE_ADDRESS_0,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
  PCI_STATUS,
  PCI_VENDOR_ID,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import type { Bar } from '../devices/device.ts';
import { calm, type Oracle } from '../explore/oracle.ts';
import { PCI_STATUS_REC_MASTER_ABORT } from './pci-config.ts';
import { busOf, once, Probe, pci } from './pci-host.fixture.ts';

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
