import {
  type BusAddress,
  busAddress,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EIO,
  ENOMEM,
  PAGE_SIZE,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at, type Context } from '../context.ts';
import { deviceReads, deviceWrites, EDU_BLOCK, eduRegisters } from '../edu-registers.ts';
import { EDU_DMA_MASK, type MapResult, openDevice, UsrPciCalls } from '../usr-pci-calls.ts';

/** M1 to M7, as a process and a device see them. */
export const dmaCases: readonly Case[] = [
  {
    id: 'M1',
    level: 'syscall',
    title: 'what the processor writes to consistent memory the device reads, and the other way round',
    needs: ['edu'],
    async run(t) {
      const edu = eduRegisters(t);
      const { vaddr, dmaaddr } = new UsrPciCalls(t).consistent();
      const bytes = t.process.bytes(vaddr, PAGE_SIZE);
      for (const seed of [1, 2]) {
        fill(bytes.subarray(0, 2048), seed);
        await deviceReads(t, edu, dmaaddr, 2048);
        await deviceWrites(t, edu, busAddress(dmaaddr + 2048n), 2048);
        t.equal(bytes.subarray(2048), bytes.subarray(0, 2048), 'what came back');
      }
    },
  },
  {
    id: 'M2',
    level: 'syscall',
    title: 'streaming memory travels to the device and from it',
    needs: ['edu'],
    async run(t) {
      const edu = eduRegisters(t);
      const device = new UsrPciCalls(t);
      const [source, target] = [at(t.memory(2), 60), at(t.memory(2), 1000)];
      fill(t.process.bytes(source, EDU_BLOCK), 3);
      const to = device.mapped(source, EDU_BLOCK, DMA_TO_DEVICE);
      await eachSegment(to, (address, length, done) => deviceReads(t, edu, address, length, done));
      t.result(device.unmap(to.dmaaddr), 0, 'usr_pci_munmap');
      const from = device.mapped(target, EDU_BLOCK, DMA_FROM_DEVICE);
      await eachSegment(from, (address, length, done) => deviceWrites(t, edu, address, length, done));
      t.result(device.unmap(from.dmaaddr), 0, 'usr_pci_munmap');
      t.equal(t.process.bytes(target, EDU_BLOCK), t.process.bytes(source, EDU_BLOCK), 'what came back');
    },
  },
  {
    id: 'M2',
    level: 'syscall',
    title: 'a device does not write memory that is mapped to-device',
    needs: ['edu', 'iommu'],
    async run(t) {
      const edu = eduRegisters(t);
      const region = t.memory();
      t.process.bytes(region, PAGE_SIZE).fill(0x11);
      const device = new UsrPciCalls(t);
      await deviceWrites(t, edu, first(t, device.mapped(region, PAGE_SIZE, DMA_TO_DEVICE)), 64);
      t.equal(t.process.bytes(region, 64), new Uint8Array(64).fill(0x11), 'the memory');
    },
  },
  {
    id: 'M2',
    level: 'syscall',
    title: 'a device does not read memory that is mapped from-device',
    needs: ['edu', 'iommu', 'read-protection'],
    async run(t) {
      const edu = eduRegisters(t);
      const [secret, result] = [t.memory(), t.memory()];
      t.process.bytes(secret, PAGE_SIZE).fill(0x5a);
      const device = new UsrPciCalls(t);
      // Whatever the device's buffer holds from before.
      await deviceReads(t, edu, first(t, device.mapped(t.memory(), PAGE_SIZE, DMA_TO_DEVICE)), 64);
      await deviceReads(t, edu, first(t, device.mapped(secret, PAGE_SIZE, DMA_FROM_DEVICE)), 64);
      await deviceWrites(t, edu, first(t, device.mapped(result, PAGE_SIZE, DMA_FROM_DEVICE)), 64);
      t.ok(!t.process.bytes(result, 64).includes(0x5a), 'the device has none of it');
    },
  },
  {
    id: 'M2',
    level: 'syscall',
    title: 'after unmapping, the device neither reads nor writes the memory',
    needs: ['edu', 'iommu'],
    async run(t) {
      const edu = eduRegisters(t);
      const device = new UsrPciCalls(t);
      const [secret, zeros, result] = [t.memory(), t.memory(), t.memory()];
      t.process.bytes(secret, PAGE_SIZE).fill(0x5a);
      const mapped = device.mapped(secret, PAGE_SIZE, DMA_BIDIRECTIONAL);
      const zeroed = first(t, device.mapped(zeros, PAGE_SIZE, DMA_TO_DEVICE));
      const target = first(t, device.mapped(result, PAGE_SIZE, DMA_FROM_DEVICE));
      t.result(device.unmap(mapped.dmaaddr), 0, 'usr_pci_munmap');
      await deviceReads(t, edu, zeroed, 64);
      await deviceWrites(t, edu, first(t, mapped), 64);
      t.equal(t.process.bytes(secret, 64), new Uint8Array(64).fill(0x5a), 'the memory');
      await deviceReads(t, edu, first(t, mapped), 64);
      await deviceWrites(t, edu, target, 64);
      t.ok(!t.process.bytes(result, 64).includes(0x5a), 'the device has none of it');
    },
  },
  {
    id: 'M3',
    level: 'syscall',
    title: 'a list has no more entries than the region has pages',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      for (const pages of [1, 2, 7, 16]) {
        const { nents } = device.mapped(t.memory(pages), pages * PAGE_SIZE);
        t.ok(nents >= 1 && nents <= pages, `1 to ${pages} entries, not ${nents}`);
      }
    },
  },
  {
    id: 'M3',
    level: 'syscall',
    title: 'a mapping of no entries is a failure: ENOMEM, and nothing stays pinned',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'failing-dma-mappings', 'accounting'],
    run(t) {
      const device = new UsrPciCalls(t);
      const pins = t.accounting.pins();
      t.failDmaMapping();
      t.result(device.map({ region: t.memory(), size: PAGE_SIZE }).result, -ENOMEM, 'usr_pci_mmap');
      t.equal(t.accounting.pins(), pins, 'pins');
    },
  },
  {
    id: 'M4',
    level: 'syscall',
    title: 'a mask that cannot be met is EIO, and the default mask stays',
    needs: ['edu'],
    async run(t) {
      t.result(openDevice(t.edu, t.thread, 1n), -EIO, 'a mask of one bit');
      const device = new UsrPciCalls(t, t.thread, t.succeeds(openDevice(t.edu, t.thread, 0n), 'mask 0'));
      const { vaddr, dmaaddr } = device.consistent();
      t.ok(dmaaddr < 1n << 32n, 'the bus address fits the 32 bits of the default mask');
      t.equal(t.process.bytes(vaddr, 1).length, 1, 'the memory');
    },
  },
  {
    id: 'M4',
    level: 'syscall',
    title: 'no bus address is beyond the mask',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const mapping = device.mapped(t.memory(16), 16 * PAGE_SIZE);
      for (const { busAddress, length } of mapping.segments) {
        t.ok(busAddress + BigInt(length) - 1n <= EDU_DMA_MASK, 'a segment is within 28 bits');
      }
      t.ok(device.consistent().dmaaddr <= EDU_DMA_MASK, 'consistent memory is within 28 bits');
    },
  },
  {
    id: 'M5',
    level: 'syscall',
    title: 'without an IOMMU, memory beyond the mask is reached through bounce buffers',
    machine: { iommu: false },
    needs: ['edu'],
    async run(t) {
      const edu = eduRegisters(t);
      const device = new UsrPciCalls(t);
      const [source, target] = [t.memory(2), t.memory(2)];
      fill(t.process.bytes(source, 2 * PAGE_SIZE), 7);
      t.process.bytes(target, 2 * PAGE_SIZE).fill(0x77);
      const to = device.mapped(source, PAGE_SIZE, DMA_TO_DEVICE);
      const from = device.mapped(target, PAGE_SIZE, DMA_FROM_DEVICE);
      for (const { busAddress } of [...to.segments, ...from.segments]) {
        t.ok(busAddress <= EDU_DMA_MASK, 'a segment is within 28 bits');
      }
      await deviceReads(t, edu, first(t, to), 64);
      await deviceWrites(t, edu, first(t, from), 64);
      t.result(device.unmap(to.dmaaddr), 0, 'usr_pci_munmap');
      t.result(device.unmap(from.dmaaddr), 0, 'usr_pci_munmap');
      t.equal(t.process.bytes(target, 64), t.process.bytes(source, 64), 'what the device wrote');
      t.equal(
        t.process.bytes(target, PAGE_SIZE).subarray(64),
        new Uint8Array(PAGE_SIZE - 64).fill(0x77),
        'what it did not write, which mapping copied in',
      );
    },
  },
  {
    id: 'M5',
    level: 'syscall',
    title: 'unmapping a bounce buffer copies nothing back to memory that was mapped to-device',
    machine: { iommu: false },
    needs: ['edu'],
    async run(t) {
      const edu = eduRegisters(t);
      const device = new UsrPciCalls(t);
      const region = t.memory();
      t.process.bytes(region, PAGE_SIZE).fill(0x33);
      const mapping = device.mapped(region, PAGE_SIZE, DMA_TO_DEVICE);
      await deviceWrites(t, edu, first(t, mapping), 64);
      t.process.bytes(region, PAGE_SIZE).fill(0x44, 32);
      t.result(device.unmap(mapping.dmaaddr), 0, 'usr_pci_munmap');
      const expected = new Uint8Array(64).fill(0x33, 0, 32).fill(0x44, 32);
      t.equal(t.process.bytes(region, 64), expected, 'the memory, with what the processor wrote meanwhile');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'a device write to memory mapped to-device is reported',
    needs: ['edu', 'iommu', 'dma-debugging'],
    async run(t) {
      const mapping = new UsrPciCalls(t).mapped(t.memory(), PAGE_SIZE, DMA_TO_DEVICE);
      await deviceWrites(t, eduRegisters(t), first(t, mapping), 4);
      t.equal(t.dmaReports(), ['device write'], 'reports');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'a device access outside every mapping is reported',
    needs: ['edu', 'iommu', 'dma-debugging'],
    async run(t) {
      const device = new UsrPciCalls(t);
      const mapping = device.mapped(t.memory(), PAGE_SIZE);
      t.result(device.unmap(mapping.dmaaddr), 0, 'usr_pci_munmap');
      await deviceReads(t, eduRegisters(t), first(t, mapping), 4);
      t.equal(t.dmaReports(), ['outside every mapping'], 'reports');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'unmapping twice and unmapping what never was are reported',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'dma-debugging'],
    run(t) {
      const device = new UsrPciCalls(t);
      const { dmaaddr } = device.mapped(t.memory(), PAGE_SIZE);
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap');
      device.unmap(dmaaddr);
      device.unmap(0xbad_0000n);
      t.equal(t.dmaReports(), ['double unmap', 'unknown unmap'], 'reports');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'a processor write to memory that is the device’s is reported, when it comes to light',
    needs: ['edu', 'dma-debugging'],
    run(t) {
      const device = new UsrPciCalls(t);
      const region = t.memory(3);
      t.process.bytes(region, 3 * PAGE_SIZE).fill(1);
      const { dmaaddr } = device.mapped(region, PAGE_SIZE, DMA_FROM_DEVICE);
      t.process.bytes(region, PAGE_SIZE)[100] = 2;
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap');
      t.equal(t.dmaReports(), ['cpu access'], 'reports');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'two mappings of the same memory that a device writes, and a mapping left at close, are reported',
    needs: ['edu', 'dma-debugging'],
    run(t) {
      const device = new UsrPciCalls(t);
      const region = t.memory(3);
      device.mapped(region, PAGE_SIZE, DMA_FROM_DEVICE);
      const { dmaaddr } = device.mapped(region, PAGE_SIZE, DMA_FROM_DEVICE);
      t.equal(t.dmaReports(), ['overlap'], 'reports');
      t.result(device.unmap(dmaaddr), 0, 'usr_pci_munmap');
      device.close();
      t.equal(t.dmaReports(), ['overlap', 'leak'], 'reports after close');
    },
  },
  {
    id: 'M6',
    level: 'syscall',
    title: 'proper use is not reported',
    needs: ['edu', 'dma-debugging'],
    async run(t) {
      const edu = eduRegisters(t);
      const device = new UsrPciCalls(t);
      const consistent = device.consistent();
      await deviceReads(t, edu, consistent.dmaaddr, 64);
      const mapping = device.mapped(t.memory(2), 2 * PAGE_SIZE, DMA_FROM_DEVICE);
      await deviceWrites(t, edu, first(t, mapping), 64);
      t.result(device.unmap(mapping.dmaaddr), 0, 'usr_pci_munmap');
      t.result(t.thread.munmap(consistent.vaddr, PAGE_SIZE), 0, 'munmap');
      device.close();
      t.equal(t.dmaReports(), [], 'reports');
    },
  },
  {
    id: 'M7',
    level: 'syscall',
    title: 'segments begin at the offset in the page, meet at page boundaries and end with the region',
    needs: ['edu'],
    run(t) {
      const device = new UsrPciCalls(t);
      const sizes = [1, 4, 100, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE, 3 * PAGE_SIZE + 5];
      for (const offset of [0, 1, 4, 2048, PAGE_SIZE - 1]) {
        for (const size of sizes) checkSegments(t, device, offset, size);
      }
    },
  },
];

function checkSegments(t: Context, device: UsrPciCalls, offset: number, size: number): void {
  const what = `${size} bytes at offset ${offset}`;
  const pages = Math.ceil((offset + size) / PAGE_SIZE);
  const mapping = device.mapped(at(t.memory(pages), offset), size);
  t.ok(mapping.nents <= pages, `${what}: no more entries than ${pages} pages`);
  t.equal(first(t, mapping) % BigInt(PAGE_SIZE), BigInt(offset), `${what}: offset of the first segment in its page`);
  let done = offset;
  for (const { busAddress, length } of mapping.segments) {
    t.ok(length >= 1, `${what}: a segment is not empty`);
    t.equal(busAddress % BigInt(PAGE_SIZE), BigInt(done % PAGE_SIZE), `${what}: offset of a segment in its page`);
    if (done !== offset) t.equal(done % PAGE_SIZE, 0, `${what}: segments meet at a page boundary`);
    done += length;
  }
  t.equal(done, offset + size, `${what}: bytes in all segments, and the offset`);
  t.result(device.unmap(mapping.dmaaddr), 0, `${what}: usr_pci_munmap`);
}

async function eachSegment(
  { segments }: MapResult,
  transfer: (address: BusAddress, length: number, done: number) => Promise<void>,
): Promise<void> {
  let done = 0;
  for (const { busAddress, length } of segments) {
    await transfer(busAddress, length, done);
    done += length;
  }
}

function first(t: Context, { segments }: MapResult): BusAddress {
  const [segment] = segments;
  if (segment === undefined) throw new Error('the mapping has no segment');
  t.ok(segment.length > 0, 'the first segment is not empty');
  return segment.busAddress;
}

function fill(bytes: Uint8Array, seed: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 7 + seed * 31 + (at >> 8)) & 0xff;
}
