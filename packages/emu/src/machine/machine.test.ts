import { describe, expect, test } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import { Machine, type MachineOptions } from './machine.ts';

describe('a machine that cannot be is refused', () => {
  test.each<[string, object]>([
    ['kernel', { kernel: 'linux' }],
    ['processors', { processors: 0 }],
    ['processors', { processors: 65 }],
    ['processors', { processors: 1.5 }],
    ['interrupts', { interrupts: 'apic' }],
    ['memory', { memory: 2 ** 53 }],
    ['devices', { devices: [{ device: new EduDevice(), irq: 99 }] }],
    ['devices', { devices: [{ device: new EduDevice(), irq: '16' }] }],
  ])('%s: %j is a RangeError', (_, o) => {
    expect(() => new Machine(o as MachineOptions)).toThrow(RangeError);
  });

  test.each<[string, object]>([
    ['oracle', { oracle: 'chance' }],
    ['devices', { devices: 5 }],
    ['devices', { devices: [{}] }],
    ['devices', { devices: [{ device: 'edu' }] }],
  ])('%s: %j is a TypeError', (_, o) => {
    expect(() => new Machine(o as MachineOptions)).toThrow(TypeError);
  });

  test('so is a line that it has not', () => {
    const machine = new Machine();
    for (const irq of [-1, 24, 0.5, Number.NaN, '5', 5n]) {
      expect(() => machine.line(irq as number)).toThrow(RangeError);
    }
  });
});
