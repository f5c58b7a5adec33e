import { PAGE_SIZE } from '@usrdrv/core';
import { expect, test } from 'vitest';
import { TraceLog } from '../trace/log.ts';
import { VirtualClock } from './clock.ts';
import { PhysicalMemory } from './memory.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function memoryOf(size: number): PhysicalMemory {
  return new PhysicalMemory(size, new TraceLog(new VirtualClock()));
}

function allocate(memory: PhysicalMemory, zone?: 'DMA' | 'DMA32') {
  return memory.allocFrame(new Uint8Array(PAGE_SIZE), zone);
}

test('every frame is handed out once, scattered, and again when it is free', () => {
  const memory = memoryOf(16 * MIB);
  const frames = Array.from({ length: 4096 }, () => allocate(memory));
  const pfns = frames.map((frame) => frame?.pfn ?? 0);
  expect(new Set(pfns).size).toBe(4096);
  expect(pfns.some((pfn, at) => at > 0 && pfn - (pfns[at - 1] ?? 0) === 1)).toBe(false);
  expect(memory.freeFrames).toBe(0);
  expect(allocate(memory)).toBeUndefined();
  const [first] = frames;
  if (first !== undefined) memory.put(first);
  expect(allocate(memory)?.pfn).toBe(first?.pfn);
});

test('a zone ends where the devices that need it reach; the higher ones fall back on the lower', () => {
  const memory = memoryOf(512 * MIB);
  expect(allocate(memory)?.pfn).toBeGreaterThanOrEqual((4 * GIB) / PAGE_SIZE);
  expect(allocate(memory, 'DMA32')?.pfn).toBeLessThan((256 * MIB) / PAGE_SIZE);
  expect(allocate(memory, 'DMA')?.pfn).toBeLessThan((16 * MIB) / PAGE_SIZE);
  const small = memoryOf(16 * MIB);
  expect(allocate(small)?.pfn).toBeLessThan((64 * MIB) / PAGE_SIZE);
});

test('two machines hand out the same frames in the same order', () => {
  const [a, b] = [memoryOf(GIB), memoryOf(GIB)];
  for (let at = 0; at < 100; at++) expect(allocate(a)?.pfn).toBe(allocate(b)?.pfn);
});

test('what is reserved cannot be had otherwise', () => {
  const memory = memoryOf(16 * MIB);
  expect(memory.reserve(4095)).toBe(true);
  expect(memory.reserve(2)).toBe(false);
  expect(allocate(memory)).toBeDefined();
  expect(allocate(memory)).toBeUndefined();
  expect(memory.allocReserved(new Uint8Array(PAGE_SIZE))).toBeDefined();
  memory.unreserve(4094);
  expect(memory.freeFrames).toBe(4094);
});

test('a frame is free when nobody holds it; a pin is a reference', () => {
  const memory = memoryOf(16 * MIB);
  const frame = allocate(memory);
  if (frame === undefined) throw new Error('no frame');
  memory.pin(frame);
  memory.put(frame);
  expect([memory.pinned, memory.frame(frame.pfn)]).toEqual([1, frame]);
  memory.unpin(frame);
  expect([memory.pinned, memory.frame(frame.pfn)]).toEqual([0, undefined]);
});

test('freeing what is free is written down, and frees nothing else', () => {
  const trace = new TraceLog(new VirtualClock());
  trace.on = true;
  const memory = new PhysicalMemory(16 * MIB, trace);
  const frame = allocate(memory);
  if (frame === undefined) throw new Error('no frame');
  memory.put(frame);
  memory.put(frame);
  expect(memory.freeFrames).toBe(4096);
  expect(trace.events.map(({ detail }) => detail)).toEqual([
    `BUG: bad page state: frame ${frame.pfn} was free already`,
  ]);
});

test('a machine without memory is refused', () => {
  for (const size of [0, -1, Number.NaN, 16 * MIB - 1, 2 ** 53, Number.POSITIVE_INFINITY])
    expect(() => memoryOf(size)).toThrow(RangeError);
});
