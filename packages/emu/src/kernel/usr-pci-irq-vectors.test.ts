import {
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOSYS,
  O_NONBLOCK,
  O_RDONLY,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { NOWHERE, UsrPciMachine } from './usr-pci.fixture.ts';

function command(m: UsrPciMachine): number {
  return m.machine.pci.function('0000:00:04.0')?.configRead(PCI_COMMAND, 2) ?? 0;
}

describe('usr_pci_irq_vectors', () => {
  test('ENOSYS in the 2005 interface', () => {
    const m = new UsrPciMachine('chubb-2.6.11');
    expect(m.thread.usrPciIrqVectors(-1, 1, 1, NOWHERE)).toBe(-ENOSYS);
  });

  test('allocates vectors that each have an irq file, and has the device send messages', async () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const fd = m.open();
    const irqs = m.memory();
    expect(m.thread.usrPciIrqVectors(fd, 1, 32, irqs)).toBe(4);
    const numbers = Array.from({ length: 4 }, (_, at) => m.view(irqs, 16).getInt32(4 * at, true));
    expect(new Set(numbers).size).toBe(4);
    expect(command(m) & PCI_COMMAND_INTX_DISABLE).not.toBe(0);
    for (const [vector, irq] of numbers.entries()) {
      const file = m.thread.open(`/proc/irq/${irq}/irq`, O_RDONLY);
      expect(file).toBeGreaterThanOrEqual(0);
      m.probe.bus?.raiseInterrupt(vector);
      expect(await m.thread.read(file, irqs, 4)).toBe(4);
      expect(m.view(irqs, 4).getInt32(0, true)).toBe(1);
      expect(m.thread.usrPciIrqVectors(fd, 0, 0, NOWHERE)).toBe(-EBUSY);
      m.thread.close(file);
    }
    expect(m.thread.usrPciIrqVectors(fd, 1, 1, irqs)).toBe(-EBUSY);
    expect(m.thread.usrPciIrqVectors(fd, 0, 0, NOWHERE)).toBe(0);
    expect(command(m) & PCI_COMMAND_INTX_DISABLE).toBe(0);
    expect(m.thread.open(`/proc/irq/${numbers[0]}/irq`, O_RDONLY)).toBe(-ENOENT);
    expect(m.thread.usrPciIrqVectors(fd, 2, 3, irqs)).toBe(3);
  });

  test('vectors of several devices do not get mixed up', async () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const irqs = m.memory();
    const one = m.open();
    const two = m.open(0n, 5);
    expect(m.thread.usrPciIrqVectors(one, 1, 1, irqs)).toBe(1);
    expect(m.thread.usrPciIrqVectors(two, 4, 4, irqs)).toBe(4);
    const numbers = Array.from({ length: 4 }, (_, at) => m.view(irqs, 16).getInt32(4 * at, true));
    const files = numbers.map((irq) => m.thread.open(`/proc/irq/${irq}/irq`, O_RDONLY | O_NONBLOCK));
    for (const [vector, file] of files.entries()) {
      m.second.bus?.raiseInterrupt(vector);
      for (const other of files) expect(await m.thread.read(other, irqs, 4)).toBe(other === file ? 4 : -EAGAIN);
    }
  });

  test('bad arguments, in order, and nothing stays allocated', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const fd = m.open();
    const irqs = m.memory();
    const call = (min: number, max: number, at = irqs): number => m.thread.usrPciIrqVectors(fd, min, max, at);
    expect(m.thread.usrPciIrqVectors(-1, 0, 0, irqs)).toBe(-EINVAL);
    expect(m.thread.usrPciIrqVectors(m.thread.open('/proc/interrupts', O_RDONLY), 1, 1, irqs)).toBe(-EINVAL);
    for (const [min, max] of [
      [0, 1],
      [2, 1],
      [-1, -1],
      [Number.NaN, 1],
      [1, Number.NaN],
      [1, 1.5],
    ] as const) {
      expect(call(min, max)).toBe(-EINVAL);
    }
    expect(call(5, 9)).toBe(-ENOSPC);
    m.oracle.fail('alloc.fail');
    expect(call(1, 1)).toBe(-ENOMEM);
    expect(call(1, 1, NOWHERE)).toBe(-EFAULT);
    expect(command(m) & PCI_COMMAND_INTX_DISABLE).toBe(0);
    expect(call(1, 1)).toBe(1);
  });

  test('closing the device frees them; one whose irq file is open fails its readers, and goes when that is closed', async () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const irqs = m.memory();
    const vectors = (fd: number): number[] => {
      const count = m.thread.usrPciIrqVectors(fd, 2, 2, irqs);
      return Array.from({ length: count }, (_, at) => m.view(irqs, 8).getInt32(4 * at, true));
    };
    const fd = m.open();
    const first = vectors(fd);
    const file = m.thread.open(`/proc/irq/${first[0]}/irq`, O_RDONLY);
    const reader = m.thread.read(file, irqs, 4);
    m.thread.close(fd);
    expect(await reader).toBe(-ENODEV);
    const again = m.open();
    const second = vectors(again);
    expect(second).not.toContain(first[0]);
    m.thread.close(file);
    m.thread.close(again);
    expect(vectors(m.open())).toEqual(first);
  });
});
