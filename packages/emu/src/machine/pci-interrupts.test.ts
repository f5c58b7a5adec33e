import {
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { busOf, Probe, pci } from './pci-host.fixture.ts';

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
