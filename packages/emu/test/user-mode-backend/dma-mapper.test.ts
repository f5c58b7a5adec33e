import type { DmaDirection, DmaMapping, DmaSegment, PciDevice, UserMemory } from '@usrdrv/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EduDevice, type EmulatedBackend, emulated } from '../../src/index.ts';
import { code, DMA_MASK, EDU, EduMachine, PROFILES, transfer } from './edu-machine.ts';

describe.each(PROFILES)('DmaMapper on %s', (kernel) => {
  let machine: EduMachine;
  let backend: EmulatedBackend;
  let device: PciDevice;
  beforeEach(() => {
    machine = new EduMachine(kernel);
    backend = machine.backend;
    device = machine.open();
  });
  afterEach(() => backend.close());

  test('M1 consistent memory is zeroed and seen by both sides, until it is freed', async () => {
    const memory = device.dma.allocConsistent(100);
    expect(memory.bytes).toEqual(new Uint8Array(100));
    machine.edu.buffer.set([1, 2, 3]);
    await transfer(device, memory.busAddress, 3, 'from-device');
    expect([...memory.bytes.subarray(0, 4)]).toEqual([1, 2, 3, 0]);
    const { bytes } = memory;
    memory.free();
    memory.free();
    expect([bytes.length, memory.bytes.length]).toEqual([0, 0]);
  });

  test('U3 more than a page of consistent memory is EINVAL', () => {
    expect(backend.supports.consistentLargerThanPage).toBe(false);
    device.dma.allocConsistent(4096).free();
    expect(code(() => device.dma.allocConsistent(4097))).toBe('EINVAL');
  });

  test('a size that is no positive integer is a RangeError', () => {
    for (const size of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n]) {
      expect(() => device.dma.allocConsistent(size as number)).toThrow(RangeError);
      expect(() => device.dma.allocUser(size as number)).toThrow(RangeError);
    }
    expect(code(() => device.dma.allocUser(2 ** 52))).toBe('ENOMEM');
  });

  test('M7 the segments of a mapping are together as long as the memory, wherever it begins', () => {
    const memory = device.dma.allocUser(5 * 4096);
    fc.assert(
      fc.property(fc.nat(5 * 4096 - 1), fc.integer({ min: 1, max: 5 * 4096 }), (start, length) => {
        const part = memory.subarray(start, Math.min(start + length, memory.bytes.length));
        using mapping = device.dma.map(part, 'bidirectional');
        const total = mapping.segments.reduce((sum, segment) => sum + segment.length, 0);
        expect(total).toBe(part.bytes.length);
      }),
      { numRuns: 50 },
    );
  });

  test('a large region is mapped, and one beyond RLIMIT_MEMLOCK is ENOMEM', () => {
    const memory = device.dma.allocUser(2 ** 22);
    using mapping = device.dma.map(memory, 'to-device');
    expect(mapping.segments.reduce((sum, segment) => sum + segment.length, 0)).toBe(2 ** 22);
    const tooMuch = device.dma.allocUser(2 ** 24);
    expect(() => device.dma.map(tooMuch, 'to-device')).toThrow(/^ENOMEM: .* RLIMIT_MEMLOCK .* ulimit -l/);
  });

  test('M2 memory goes to the device and back', async () => {
    const memory = device.dma.allocUser(4096);
    memory.bytes.set([5, 6, 7]);
    const out = device.dma.map(memory, 'to-device');
    await transfer(device, first(out).busAddress, 4096, 'to-device');
    out.unmap();
    expect([...machine.edu.buffer.subarray(0, 3)]).toEqual([5, 6, 7]);
    machine.edu.buffer.fill(9);
    const back = device.dma.map(memory, 'from-device');
    await transfer(device, first(back).busAddress, 4096, 'from-device');
    back.unmap();
    back.unmap();
    expect(memory.bytes.every((byte) => byte === 9)).toBe(true);
  });

  test('memory that is mapped is not freed', () => {
    const memory = device.dma.allocUser(10);
    const part = memory.subarray(2, 4);
    const mapping = device.dma.map(part, 'to-device');
    expect(code(() => memory.free())).toBe('EBUSY');
    expect(memory.bytes.length).toBe(10);
    mapping.unmap();
    part.free();
    expect(part.bytes.length).toBe(2);
    memory.free();
    memory.free();
    expect([memory.bytes.length, part.bytes.length]).toEqual([0, 0]);
    expect(code(() => device.dma.map(part, 'to-device'))).toBe('EFAULT');
  });

  test('only memory of the same backend is mapped, in a direction that exists', () => {
    using stranger = emulated({ devices: [new EduDevice()] });
    const other = stranger.pci.open(EDU, { dmaMask: DMA_MASK }).dma.allocUser(1);
    expect(() => device.dma.map(other, 'to-device')).toThrow(TypeError);
    const bytes = new Uint8Array(1);
    expect(() => device.dma.map({ bytes } as UserMemory, 'to-device')).toThrow(TypeError);
    const memory = device.dma.allocUser(1);
    for (const direction of ['none', 'toString', 0, undefined]) {
      expect(() => device.dma.map(memory, direction as DmaDirection)).toThrow(RangeError);
    }
  });

  test('a part is inside the memory, and not empty', () => {
    const memory = device.dma.allocUser(10);
    expect(memory.subarray(3).bytes.length).toBe(7);
    expect(memory.subarray(2, 8).subarray(1, 2).bytes.byteOffset).toBe(memory.bytes.byteOffset + 3);
    for (const [start, end] of [
      [-1, 2],
      [3, 3],
      [0, 11],
      [4, 2],
      [Number.NaN, 1],
      [0.5, 2],
    ] as const) {
      expect(() => memory.subarray(start, end)).toThrow(RangeError);
    }
  });
});

function first({ segments: [segment] }: DmaMapping): DmaSegment {
  if (segment === undefined) throw new Error('no segment');
  return segment;
}
