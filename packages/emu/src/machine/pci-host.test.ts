import { PCI_BASE_ADDRESS_0, PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { busOf, once, Probe, pci } from './pci-host.fixture.ts';
import { ACCESS_NS } from './pci-host.ts';

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
