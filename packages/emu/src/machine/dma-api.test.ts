import { DMA_BIDIRECTIONAL, DMA_FROM_DEVICE, DMA_TO_DEVICE, PAGE_SIZE } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import type { Oracle } from '../explore/oracle.ts';
import { calm } from '../explore/oracle.ts';
import { TraceLog } from '../trace/log.ts';
import { VirtualClock } from './clock.ts';
import { DmaDevice, type DmaMapping } from './dma-api.ts';
import { DmaDebug } from './dma-debug.ts';
import { Iommu } from './iommu.ts';
import { type Frame, PhysicalMemory } from './memory.ts';

interface Options {
  readonly iommu?: boolean;
  readonly debug?: boolean;
  readonly oracle?: Oracle;
}

class Board {
  readonly memory: PhysicalMemory;
  readonly debug = new DmaDebug();
  readonly iommu: Iommu;
  readonly function = { address: '0000:00:04.0' };
  readonly device: DmaDevice;

  constructor({ iommu = true, debug = true, oracle = calm }: Options = {}) {
    const trace = new TraceLog(new VirtualClock());
    // Reaches above 4 GiB, where a device with a narrow mask does not.
    this.memory = new PhysicalMemory(512 * 1024 * 1024, trace);
    this.debug.on = debug;
    this.iommu = new Iommu(this.memory, this.debug, oracle, trace, iommu);
    this.device = new DmaDevice(this.iommu, this.function);
  }

  frame(): Frame {
    const frame = this.memory.allocFrame(new Uint8Array(PAGE_SIZE));
    if (frame === undefined) throw new Error('no frame');
    return frame;
  }

  map(direction: number, frames: readonly Frame[] = [this.frame()], offset = 0, length = PAGE_SIZE): DmaMapping {
    const mapping = this.device.mapSg(
      frames.map((frame) => ({ frame, offset, length })),
      direction,
    );
    if (mapping === undefined) throw new Error('mapSg');
    return mapping;
  }

  deviceReads(address: number, length: number): Uint8Array | undefined {
    const into = new Uint8Array(length);
    return this.iommu.dmaRead(this.function, BigInt(address), into) ? into : undefined;
  }

  deviceWrites(address: number, ...bytes: number[]): boolean {
    return this.iommu.dmaWrite(this.function, BigInt(address), new Uint8Array(bytes));
  }

  get misuse(): string[] {
    return this.debug.reports.map(({ what }) => what);
  }
}

describe('M1 consistent memory', () => {
  test.each([true, false])('is zeroed, and both sides see writes at once (IOMMU %s)', (iommu) => {
    const board = new Board({ iommu });
    const free = board.memory.freeFrames;
    const mapping = board.device.allocCoherent();
    const bytes = mapping?.pages[0]?.frame.bytes;
    if (mapping === undefined || bytes === undefined) throw new Error('allocCoherent');
    expect(board.deviceReads(mapping.address, PAGE_SIZE)).toEqual(new Uint8Array(PAGE_SIZE));
    bytes[5] = 1;
    expect(board.deviceReads(mapping.address + 5, 1)).toEqual(new Uint8Array([1]));
    expect(board.deviceWrites(mapping.address + 6, 2)).toBe(true);
    expect(bytes[6]).toBe(2);
    board.device.freeCoherent(mapping);
    expect(board.deviceReads(mapping.address, 1)).toBeUndefined();
    expect(board.memory.freeFrames).toBe(free);
    expect(board.misuse).toEqual(['outside every mapping']);
  });
});

describe('M2 streaming memory is the device’s until it is handed back', () => {
  test.each([DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL])(
    'a write of the CPU comes to light (direction %i)',
    (direction) => {
      const board = new Board();
      const frame = board.frame();
      const mapping = board.map(direction, [frame]);
      frame.bytes[77] = 1;
      board.device.unmapSg(mapping);
      expect(board.misuse).toEqual(['cpu access']);
      expect(board.debug.reports[0]?.detail).toContain(`byte 77 of frame ${frame.pfn}`);
      expect(board.debug.reports[0]?.mapping).toBe(mapping);
    },
  );

  test('also when the device reads or overwrites what the CPU changed', () => {
    const board = new Board();
    const [read, written] = [board.frame(), board.frame()];
    const [source, target] = [board.map(DMA_TO_DEVICE, [read]), board.map(DMA_FROM_DEVICE, [written])];
    read.bytes[10] = 1;
    written.bytes[11] = 1;
    board.deviceReads(source.address, 11);
    board.deviceWrites(target.address + 11, 2);
    expect(board.misuse).toEqual(['cpu access', 'cpu access']);
    board.device.unmapSg(source);
    board.device.unmapSg(target);
    expect(board.misuse).toHaveLength(2);
  });

  test('what the device writes, and what the CPU writes beside the mapping or after a sync, is no misuse', () => {
    const board = new Board();
    const frame = board.frame();
    const mapping = board.map(DMA_FROM_DEVICE, [frame], 64, 128);
    expect(board.deviceWrites(mapping.address, 1, 2, 3)).toBe(true);
    frame.bytes[0] = 9;
    frame.bytes[192] = 9;
    board.device.syncSgForCpu(mapping);
    expect([...frame.bytes.subarray(64, 67)]).toEqual([1, 2, 3]);
    frame.bytes[64] = 4;
    board.device.syncSgForDevice(mapping);
    board.deviceWrites(mapping.address, 5);
    board.device.unmapSg(mapping);
    expect(board.misuse).toEqual([]);
  });
});

describe('M3 the result of a map', () => {
  test('has an entry for each page, at scattered addresses; with merging fewer, and as many bytes', () => {
    const merge: Oracle = { choose: (_n, tag) => (tag === 'dma.merge' ? 1 : 0), asksAtSteps: false };
    for (const [oracle, entries] of [
      [calm, 8],
      [merge, 1],
    ] as const) {
      const board = new Board({ oracle });
      const mapping = board.map(
        DMA_TO_DEVICE,
        Array.from({ length: 8 }, () => board.frame()),
      );
      expect(mapping.segments).toHaveLength(entries);
      expect(mapping.segments.reduce((sum, { length }) => sum + length, 0)).toBe(8 * PAGE_SIZE);
    }
  });

  test('a failure is a failure, and leaves nothing mapped', () => {
    const fail: Oracle = { choose: (_n, tag) => (tag === 'dma.map' ? 1 : 0), asksAtSteps: false };
    expect(new Board({ oracle: fail }).device.mapSg([], DMA_TO_DEVICE)).toBeUndefined();
    const board = new Board();
    board.device.setMask(0xff_ffffn);
    const frame = board.frame();
    const most = Array.from({ length: 4095 }, () => ({ frame, offset: 0, length: 1 }));
    expect(board.device.mapSg([...most, { frame, offset: 0, length: 1 }], DMA_TO_DEVICE)).toBeUndefined();
    expect(board.device.mapSg(most, DMA_TO_DEVICE)).toBeDefined();
    expect(board.device.mapSg([{ frame, offset: 0, length: 1 }], DMA_TO_DEVICE)).toBeUndefined();
  });

  test('no bus address is 0, or above the mask', () => {
    const board = new Board();
    board.device.setMask(0xff_ffffn);
    const mapping = board.map(
      DMA_TO_DEVICE,
      Array.from({ length: 4095 }, () => board.frame()),
    );
    const pages = mapping.pages.map(({ busPage }) => busPage);
    expect(Math.min(...pages)).toBe(1);
    expect(Math.max(...pages)).toBe(4095);
  });
});

test('M4 a mask that the kernel cannot serve is refused, and the old one stays', () => {
  const { device } = new Board();
  expect(device.setMask(0xfff_ffffn)).toBe(true);
  expect(device.setMask(0xf_ffffn)).toBe(false);
  expect(device.mask).toBe(0xfff_ffff);
  expect(device.setMask(0xffff_ffff_ffff_ffffn)).toBe(true);
});

describe('M5 without an IOMMU, memory that the device cannot reach goes through a bounce buffer', () => {
  function bounced(direction: number): { board: Board; frame: Frame; mapping: DmaMapping } {
    const board = new Board({ iommu: false });
    board.device.setMask(0xfff_ffffn);
    const frame = board.frame();
    frame.bytes.fill(1);
    const mapping = board.map(direction, [frame]);
    expect(mapping.address).toBeLessThanOrEqual(0xfff_ffff);
    expect(frame.pfn * PAGE_SIZE).toBeGreaterThan(0xfff_ffff);
    return { board, frame, mapping };
  }

  test.each([DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL])(
    'map copies in whatever the direction (%i)',
    (direction) => {
      const { mapping } = bounced(direction);
      expect(mapping.pages[0]?.frame.bytes).toEqual(new Uint8Array(PAGE_SIZE).fill(1));
    },
  );

  test('unmap copies back what the device may have written, and only that', () => {
    for (const [direction, seen] of [
      [DMA_TO_DEVICE, 1],
      [DMA_FROM_DEVICE, 2],
      [DMA_BIDIRECTIONAL, 2],
    ] as const) {
      const { board, frame, mapping } = bounced(direction);
      mapping.pages[0]?.frame.bytes.fill(2);
      expect(frame.bytes[0]).toBe(1);
      board.device.unmapSg(mapping);
      expect(frame.bytes[0]).toBe(seen);
      expect(board.misuse).toEqual([]);
    }
  });

  test('memory in reach is used as it is', () => {
    const board = new Board({ iommu: false });
    board.device.setMask(0xffff_ffff_ffff_ffffn);
    const frame = board.frame();
    expect(board.map(DMA_TO_DEVICE, [frame]).address).toBe(frame.pfn * PAGE_SIZE);
  });
});

describe('M6 misuse is reported, with the mapping and both stacks', () => {
  test('double unmap, of a mapping and by its address', () => {
    const board = new Board();
    const mapping = board.map(DMA_TO_DEVICE);
    board.device.unmapSg(mapping);
    board.device.unmapSg(mapping);
    board.device.unmapAddress(mapping.address, PAGE_SIZE, DMA_TO_DEVICE);
    expect(board.misuse).toEqual(['double unmap', 'double unmap']);
    expect(board.debug.reports[1]?.mapping).toBe(mapping);
    expect(board.debug.reports[0]?.stackOfMap).toContain('dma-api.test.ts');
    expect(board.debug.reports[0]?.stackOfMisuse).toContain('unmapSg');
    expect(`${board.debug.reports[0]}`).toMatch(
      /^DMA-API: 0000:00:04.0: double unmap: the streaming mapping of 4096 bytes/,
    );
  });

  test('unknown unmap', () => {
    const board = new Board();
    board.device.unmapAddress(0x5000, PAGE_SIZE, DMA_TO_DEVICE);
    expect(board.misuse).toEqual(['unknown unmap']);
    expect(board.debug.reports[0]?.mapping).toBeUndefined();
  });

  test('wrong size and wrong direction', () => {
    const board = new Board();
    board.device.unmapAddress(board.map(DMA_TO_DEVICE).address, 100, DMA_FROM_DEVICE);
    expect(board.misuse).toEqual(['wrong size', 'wrong direction']);
    expect([...board.device.mappings]).toEqual([]);
  });

  test('a write of the device to DMA_TO_DEVICE memory does not get there; nor does a read of DMA_FROM_DEVICE memory', () => {
    const board = new Board();
    const frame = board.frame();
    const [source, target] = [board.map(DMA_TO_DEVICE, [frame]), board.map(DMA_FROM_DEVICE)];
    expect(board.deviceWrites(source.address, 1)).toBe(false);
    expect(board.deviceReads(target.address, 1)).toBeUndefined();
    expect(frame.bytes[0]).toBe(0);
    expect(board.misuse).toEqual(['device write', 'device read']);
    expect(board.debug.reports.map(({ mapping }) => mapping)).toEqual([source, target]);
  });

  test.each([true, false])(
    'access outside every mapping: beside it to the byte, and after it is gone (IOMMU %s)',
    (iommu) => {
      const board = new Board({ iommu });
      board.device.setMask(0xffff_ffff_ffff_ffffn);
      const mapping = board.map(DMA_BIDIRECTIONAL, undefined, 16, 16);
      expect(board.deviceReads(mapping.address, 16)).toBeDefined();
      expect(board.deviceReads(mapping.address + 1, 16)).toBeUndefined();
      expect(board.deviceReads(mapping.address - 1, 1)).toBeUndefined();
      board.device.unmapSg(mapping);
      expect(board.deviceWrites(mapping.address, 1)).toBe(false);
      expect(board.misuse).toEqual(Array.from({ length: 3 }, () => 'outside every mapping'));
      expect(board.debug.reports.map((report) => report.mapping)).toEqual([undefined, undefined, mapping]);
      expect(board.deviceReads(Number.MAX_SAFE_INTEGER, 1)).toBeUndefined();
      expect(board.iommu.dmaRead(board.function, 2n ** 64n - 1n, new Uint8Array(1))).toBe(false);
    },
  );

  test('what another device has mapped is outside every mapping', () => {
    const board = new Board();
    const mapping = board.map(DMA_BIDIRECTIONAL);
    expect(board.iommu.dmaRead({ address: '0000:00:05.0' }, BigInt(mapping.address), new Uint8Array(1))).toBe(false);
    expect(board.debug.reports[0]?.device).toBe('0000:00:05.0');
  });

  test('overlap where the device writes: of cache lines between two that it writes, of bytes otherwise', () => {
    const board = new Board();
    const frame = board.frame();
    board.map(DMA_TO_DEVICE, [frame], 0, 100);
    board.map(DMA_TO_DEVICE, [frame], 50, 100);
    const first = board.map(DMA_FROM_DEVICE, [frame], 160, 8);
    board.map(DMA_FROM_DEVICE, [frame], 192, 64);
    expect(board.misuse).toEqual([]);
    board.map(DMA_FROM_DEVICE, [frame], 168, 8);
    board.map(DMA_BIDIRECTIONAL, [frame], 149, 1);
    expect(board.misuse).toEqual(['overlap', 'overlap']);
    expect(board.debug.reports[0]?.mapping).toBe(first);
  });

  test('only so many reports are kept; all are counted', () => {
    const board = new Board();
    for (let at = 0; at < 1500; at++) board.deviceReads(0x1000, 1);
    expect(board.debug.reports).toHaveLength(1000);
    expect(board.debug.errors).toBe(1500);
  });

  test('without debugging, the IOMMU protects pages; without an IOMMU, nothing does', () => {
    const guarded = new Board({ debug: false });
    const mapping = guarded.map(DMA_FROM_DEVICE, undefined, 16, 16);
    expect(guarded.deviceWrites(mapping.address + 16, 1)).toBe(true);
    expect(guarded.deviceReads(mapping.address, 1)).toBeUndefined();
    expect(guarded.debug.reports[0]?.stackOfMap).toBeUndefined();

    const open = new Board({ debug: false, iommu: false });
    const frame = open.frame();
    expect(open.deviceWrites(frame.pfn * PAGE_SIZE, 7)).toBe(true);
    expect(frame.bytes[0]).toBe(7);
    expect(open.deviceWrites(0x50, 7)).toBe(false);
  });
});

test('a transfer runs over pages that are scattered in bus and physical memory', () => {
  const merge: Oracle = { choose: (_n, tag) => (tag === 'dma.merge' ? 1 : 0), asksAtSteps: false };
  const board = new Board({ oracle: merge });
  const frames = [board.frame(), board.frame(), board.frame()];
  frames.forEach((frame, at) => void frame.bytes.fill(at + 1));
  const mapping = board.map(DMA_BIDIRECTIONAL, frames);
  const seen = board.deviceReads(mapping.address + PAGE_SIZE - 1, PAGE_SIZE + 2);
  expect([seen?.[0], seen?.[1], seen?.[PAGE_SIZE], seen?.[PAGE_SIZE + 1]]).toEqual([1, 2, 2, 3]);
});
