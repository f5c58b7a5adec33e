import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_NONE,
  DMA_TO_DEVICE,
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENFILE,
  ENOENT,
  ENOMEM,
  O_RDONLY,
  PAGE_SIZE,
  PROT_READ,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { isMaster, NOWHERE, PROFILES, UsrPciMachine, until } from './usr-pci.fixture.ts';

describe.each(PROFILES)('usr_pci calls of %s', (profile) => {
  const fixed = profile === 'usrdrv-6.1';

  test('U1 open enables the device as a bus master; the descriptor can be neither read nor written', async () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    expect(fd).toBeGreaterThanOrEqual(0);
    expect(isMaster(m)).toBe(true);
    expect(await m.thread.read(fd, m.memory(), 4)).toBe(-EBADF);
    expect(await m.thread.write(fd, m.memory(), 4)).toBe(-EBADF);
    m.thread.close(fd);
    expect(isMaster(m)).toBe(false);
  });

  test('U1 slot and function are cut to 5 and 3 bits; numbers that are none name nothing', () => {
    const m = new UsrPciMachine(profile);
    expect(m.thread.usrPciOpen(0, 4 + 32, 8, 0n)).toBeGreaterThanOrEqual(0);
    for (const bus of [-1, 1, 256, Number.NaN, 0.5]) expect(m.thread.usrPciOpen(bus, 5, 0, 0n)).toBe(-ENOENT);
    for (const slot of [6, Number.NaN, Number.POSITIVE_INFINITY]) expect(m.open(0n, slot)).toBe(-ENOENT);
    expect(m.thread.usrPciOpen(0, 5, 1, 0n)).toBe(-ENOENT);
    expect(m.thread.usrPciOpen(0, 5, 0, 0n, 1)).toBe(fixed ? -ENOENT : 1);
  });

  test('U1 an open device is EBUSY, before its mask is looked at', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    expect(m.open(1n)).toBe(-EBUSY);
    m.thread.close(fd);
    expect(m.open()).toBe(fd);
  });

  test('U1 M4 mask 0 keeps the default; a mask that cannot be met is EIO, and the device is free again', () => {
    const m = new UsrPciMachine(profile);
    expect(m.open(0xf_ffffn)).toBe(-EIO);
    expect(isMaster(m)).toBe(false);
    const fd = m.open(0n);
    const { dmaaddr } = m.map(fd, m.memory(), 4);
    expect(dmaaddr).toBeGreaterThan(0n);
    expect(dmaaddr).toBeLessThan(2n ** 32n);
  });

  test('U1 ENFILE and ENOMEM leave the device free', () => {
    const m = new UsrPciMachine(profile);
    const { fileTable } = m.machine.kernel;
    const other = m.machine.kernel.spawn({ uid: 1000, capSysRawio: true });
    fileTable.max = 0;
    expect(other.thread.usrPciOpen(0, 4, 0, 0n)).toBe(-ENFILE);
    fileTable.max = 100;
    for (const nth of [1, 2]) {
      m.oracle.fail('alloc.fail', nth);
      expect(m.open()).toBe(-ENOMEM);
      expect(isMaster(m)).toBe(false);
    }
    expect(m.open()).toBeGreaterThanOrEqual(0);
  });

  test('U2 release stops bus mastering before it unmaps, then unmaps and unpins everything', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const { memory } = m.machine;
    m.map(fd, m.memory(3), 3 * PAGE_SIZE);
    m.map(fd, m.memory(1), 1);
    const file = m.process.files.remove(fd);
    if (file === undefined) throw new Error('no file');
    const release = file.put(m.task);
    until(release, 'U2.unmap');
    expect(isMaster(m)).toBe(false);
    expect(memory.pinned).toBeGreaterThan(0);
    for (const _ of release);
    expect(memory.pinned).toBe(0);
    expect(m.process.mm.pinnedPages).toBe(0);
    // M6: a leak at close.
    expect(m.misuse).toEqual(['leak', 'leak']);
    expect(m.machine.dmaDebug.reports[0]?.stackOfMap).toContain('usr-pci');
  });

  test('U2 U3 M1 consistent memory is shared with the device, and lives until munmap', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const { vaddr, dmaaddr } = m.consistent(fd);
    const bytes = m.bytes(vaddr, PAGE_SIZE);
    expect(bytes).toEqual(new Uint8Array(PAGE_SIZE));
    bytes[1] = 1;
    expect(m.probe.read(dmaaddr, 2)).toEqual(new Uint8Array([0, 1]));
    m.probe.write(dmaaddr + 2n, 2);
    expect(bytes[2]).toBe(2);
    m.thread.close(fd);
    expect(bytes[2]).toBe(2);
    expect(m.thread.munmap(vaddr, PAGE_SIZE)).toBe(0);
    expect(bytes.length).toBe(0);
    m.open();
    expect(m.probe.read(dmaaddr, 1)).toBeUndefined();
  });

  test('U3 the order of the checks, and a failure undoes everything', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const out = m.memory();
    const call = (d: number, size: number, vaddrp = out, dmaaddrp = out): number =>
      m.thread.usrPciGetConsistent(d, size, vaddrp, dmaaddrp);
    const foreign = m.thread.open('/proc/interrupts', O_RDONLY);
    for (const bad of [-1, 99, Number.NaN, foreign]) expect(call(bad, 0)).toBe(-EINVAL);
    for (const size of [0, 1, 2 * PAGE_SIZE, -PAGE_SIZE, Number.NaN]) expect(call(fd, size, NOWHERE)).toBe(-EINVAL);
    m.oracle.fail('alloc.fail');
    expect(call(fd, PAGE_SIZE, NOWHERE)).toBe(-ENOMEM);
    expect(call(fd, PAGE_SIZE, NOWHERE)).toBe(-EFAULT);
    expect(call(fd, PAGE_SIZE, out, NOWHERE)).toBe(-EFAULT);
    const vaddr = virtualAddress(m.view(out, 8).getBigUint64(0, true));
    expect(() => m.bytes(vaddr, 1)).toThrow(/EFAULT/);
  });

  test('U3 consistent memory is not inherited over fork', () => {
    const m = new UsrPciMachine(profile);
    const { vaddr } = m.consistent(m.open());
    const child = m.thread.fork();
    if (typeof child === 'number') throw new Error('fork');
    expect(() => child.process.bytes(vaddr, 1)).toThrow(/EFAULT/);
  });

  test('U4 M7 the list has an entry for each page, from the offset on', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory(4);
    m.bytes(region, 4 * PAGE_SIZE).set(Uint8Array.from({ length: 4 * PAGE_SIZE }, (_, at) => at >> 8));
    for (const [offset, size, lengths] of [
      [0, 1, [1]],
      [4095, 2, [1, 1]],
      [100, PAGE_SIZE, [3996, 100]],
      [0, 2 * PAGE_SIZE, [4096, 4096]],
      [1, 3 * PAGE_SIZE, [4095, 4096, 4096, 1]],
    ] as const) {
      const mapped = m.map(fd, region + BigInt(offset), size);
      expect(mapped.result).toBe(0);
      expect(mapped.segments.map(({ length }) => length)).toEqual(lengths);
      expect(mapped.segments[0]?.busAddress).toBe(mapped.dmaaddr);
      const seen = mapped.segments.flatMap(({ busAddress, length }) => [...(m.probe.read(busAddress, length) ?? [])]);
      expect(seen).toEqual([...m.bytes(region, 4 * PAGE_SIZE).subarray(offset, offset + size)]);
      expect(m.unmap(fd, mapped.dmaaddr)).toBe(0);
    }
    expect(m.machine.memory.pinned).toBe(0);
    expect(m.misuse).toEqual([]);
  });

  test('U4 M3 where entries merge, fewer are filled in', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    m.oracle.fail('dma.merge');
    const mapped = m.map(fd, m.memory(4), 4 * PAGE_SIZE);
    expect(mapped.segments.map(({ length }) => length)).toEqual([4 * PAGE_SIZE]);
    expect(m.unmap(fd, mapped.dmaaddr)).toBe(0);
  });

  test('U4 the order of the checks', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const { thread } = m;
    const foreign = thread.open('/proc/interrupts', O_RDONLY);
    for (const bad of [-1, 99, foreign]) expect(thread.usrPciMmap(bad, NOWHERE)).toBe(-EINVAL);
    expect(thread.usrPciMmap(fd, NOWHERE)).toBe(-EFAULT);
    for (const direction of [DMA_NONE, 4, -1]) expect(m.map(fd, 0n, 0, direction).result).toBe(-EINVAL);
    for (const [size, nents] of [
      [0, 9],
      [1, 1],
      [PAGE_SIZE, 2],
      [PAGE_SIZE, -1],
    ] as const) {
      const mp = m.info(0n, size, DMA_BIDIRECTIONAL, 9);
      m.view(mp, 40).setInt32(32, nents, true);
      expect(thread.usrPciMmap(fd, mp)).toBe(-EINVAL);
    }
    const refused = m.info(0n, 1);
    m.oracle.fail('alloc.fail');
    expect(thread.usrPciMmap(fd, refused)).toBe(-ENOMEM);
    for (const region of [0n, 2n ** 64n - 1n, 0x7fff_ffff_efffn]) expect(m.map(fd, region, 2).result).toBe(-EFAULT);
    const readOnly = m.memory(1, PROT_READ);
    expect(m.map(fd, readOnly, 1, DMA_FROM_DEVICE).result).toBe(-EFAULT);
    expect(m.map(fd, readOnly, 1, DMA_TO_DEVICE).result).toBe(0);
    expect(m.map(fd, m.consistent(fd).vaddr, 1).result).toBe(-EFAULT);
    // An end that is not mapped.
    expect(m.map(fd, m.memory(1), 0xffff_ffff).result).not.toBe(0);
  });

  test('U4 a list that cannot be written is EFAULT, and nothing stays mapped or pinned', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const mp = m.info(m.memory(), 1);
    m.view(mp, 40).setBigUint64(24, 0n, true);
    expect(m.thread.usrPciMmap(fd, mp)).toBe(-EFAULT);
    expect(m.machine.memory.pinned).toBe(0);
    m.thread.close(fd);
    expect(m.misuse).toEqual([]);
  });

  test('U5 unmapping by dmaaddr, in any order; the memory is out of the device’s reach then', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const mapped = [1, 2, 3].map((pages) => m.map(fd, m.memory(pages), pages * PAGE_SIZE));
    for (const at of [1, 0, 2]) {
      const dmaaddr = mapped[at]?.dmaaddr ?? 0n;
      expect(m.probe.write(dmaaddr, 1)).toBe(true);
      expect(m.unmap(fd, dmaaddr)).toBe(0);
      expect(m.probe.write(dmaaddr, 1)).toBe(false);
    }
    expect(m.misuse).toEqual(Array.from({ length: 3 }, () => 'outside every mapping'));
    expect(m.thread.usrPciMunmap(-1, NOWHERE)).toBe(-EINVAL);
    expect(m.thread.usrPciMunmap(fd, NOWHERE)).toBe(-EFAULT);
    expect(m.unmap(fd, 0x1234n)).toBe(-EINVAL);
  });

  test('M5 without an IOMMU, memory that the device cannot reach goes through bounce buffers', () => {
    const m = new UsrPciMachine(profile, { iommu: false });
    const fd = m.open(0xfff_ffffn);
    const region = m.memory(2);
    const bytes = m.bytes(region, 2 * PAGE_SIZE).fill(1);
    const { segments, dmaaddr } = m.map(fd, region + 8n, PAGE_SIZE, DMA_FROM_DEVICE);
    for (const { busAddress, length } of segments) {
      expect(busAddress).toBeLessThan(2n ** 28n);
      m.probe.write(busAddress, 2);
      expect(m.probe.write(busAddress + BigInt(length), 3)).toBe(false);
    }
    expect(bytes[8]).toBe(1);
    expect(m.unmap(fd, dmaaddr)).toBe(0);
    expect([bytes[8], bytes[9], bytes[PAGE_SIZE]]).toEqual([2, 1, 2]);
  });

  test('M2 M6 a driver that writes to memory of the device is reported', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory();
    const bytes = m.bytes(region, PAGE_SIZE);
    const { dmaaddr } = m.map(fd, region, 100, DMA_FROM_DEVICE);
    m.probe.write(dmaaddr, 1);
    bytes[99] = 1;
    bytes[100] = 1;
    m.unmap(fd, dmaaddr);
    expect(m.misuse).toEqual(['cpu access']);
    expect(m.machine.dmaDebug.reports[0]?.detail).toMatch(/byte 99 of frame/);
  });

  test('a page that is mapped for a device outlives its mapping in the process', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory();
    m.bytes(region, 1)[0] = 7;
    const { dmaaddr } = m.map(fd, region, 1);
    m.thread.munmap(region, PAGE_SIZE);
    expect(m.probe.read(dmaaddr, 1)).toEqual(new Uint8Array([7]));
    expect(m.unmap(fd, dmaaddr)).toBe(0);
  });

  test('the end of the process gives everything back', () => {
    const m = new UsrPciMachine(profile);
    const { memory, kernel } = m.machine;
    const before = memory.freeFrames;
    const child = kernel.spawn();
    expect(child.thread.usrPciOpen(0, 4, 0, 0n)).toBeGreaterThanOrEqual(0);
    child.exit();
    expect(isMaster(m)).toBe(false);
    expect(memory.freeFrames).toBe(before);
    expect(m.open()).toBeGreaterThanOrEqual(0);
  });

  test('a device that has been pulled out is let go like any other', () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    m.map(fd, m.memory(), 1);
    m.machine.pci.unplug('0000:00:04.0');
    expect(m.open()).toBe(-ENOENT);
    expect(m.thread.close(fd)).toBe(0);
    expect(m.machine.memory.pinned).toBe(0);
    m.machine.pci.plug(m.probe, { address: '0000:00:04.0' });
    expect(m.open()).toBe(fd);
  });
});
