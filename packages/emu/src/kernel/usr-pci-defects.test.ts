import {
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOMEM,
  ESRCH,
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { finish, PROFILES, RW, UsrPciMachine, until } from './usr-pci.fixture.ts';

/** The defects of the 2005 patch: each there, and not there in the documented interface. */
describe.each(PROFILES)('%s', (profile: KernelProfile) => {
  const posted = profile === 'chubb-2.6.11';

  test(`UD1 unmapping an unknown address ${posted ? 'frees the oldest mapping and leaves it linked' : 'is EINVAL'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const [oldest, youngest] = [m.map(fd, m.memory(), 1), m.map(fd, m.memory(), 1)];
    expect(m.unmap(fd, 0x123n)).toBe(posted ? 0 : -EINVAL);
    expect(m.probe.read(oldest.dmaaddr, 1) === undefined).toBe(posted);
    expect(m.probe.read(youngest.dmaaddr, 1)).toBeDefined();
    // Still linked: found, unmapped and let go a second time.
    expect(m.unmap(fd, oldest.dmaaddr)).toBe(0);
    expect(m.misuse).toEqual(posted ? ['outside every mapping', 'double unmap'] : ['unknown unmap']);
  });

  test(`UD2 a region whose tail is missing ${posted ? 'gets past the check, and ends in a BUG' : 'is EFAULT'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory(2);
    const mp = m.info(region, PAGE_SIZE + 1);
    m.thread.munmap(virtualAddress(region + BigInt(PAGE_SIZE)), PAGE_SIZE);
    expect(m.thread.usrPciMmap(fd, mp)).toBe(posted ? -ESRCH : -EFAULT);
    expect(m.process.dead).toBe(posted);
    expect(m.machine.kernel.usrPci.warnings).toHaveLength(posted ? 1 : 0);
    expect(m.machine.memory.pinned).toBe(posted ? 1 : 0);
  });

  test(`UD3 ${posted ? 'the copy loop trusts the caller’s nents' : 'as many entries are copied as there are'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const { usrPci } = m.machine.kernel;
    expect(m.map(fd, m.memory(), 1, DMA_TO_DEVICE, 10).nents).toBe(1);
    expect(usrPci.warnings).toEqual([]);
    expect(m.map(fd, m.memory(), 1, DMA_TO_DEVICE, 8192).nents).toBe(1);
    expect(usrPci.warnings).toEqual(
      posted ? ['usr_pci_mmap: 8182 entries are read past the end of a scatterlist'] : [],
    );
    expect(m.map(fd, m.memory(), 1, DMA_TO_DEVICE, 8193).result).toBe(posted ? -ESRCH : 0);
    expect(m.process.dead).toBe(posted);
  });

  test(`UD4 a mapping of no entries ${posted ? 'goes unnoticed' : 'is ENOMEM, and nothing stays pinned'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    m.oracle.fail('dma.map');
    const mapped = m.map(fd, m.memory(), 1);
    expect(mapped.result).toBe(posted ? 0 : -ENOMEM);
    expect(mapped.nents).toBe(0);
    expect(m.machine.memory.pinned).toBe(posted ? 1 : 0);
    m.thread.close(fd);
    expect(m.misuse).toEqual(posted ? ['leak', 'unknown unmap'] : []);
  });

  test(`UD5 another thread ${posted ? 'changes mappings while pages are pinned' : 'waits until the pages are pinned'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory(2);
    const old = m.bytes(region, 2 * PAGE_SIZE).fill(1);
    const mp = m.info(region, 2 * PAGE_SIZE);
    const { mm } = m.process;
    const mmap = m.machine.kernel.usrPci.mmap(m.task, fd, mp);
    until(mmap, 'U4.pin');
    const free = mm.mmapLock.tryAcquire();
    expect(free).toBe(posted);
    if (!free) return;
    mm.mmap(region, 2 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
    mm.mmapLock.release();
    expect(old.length).toBe(0);
    m.bytes(region, 2 * PAGE_SIZE).fill(2);
    const { segments } = m.answer(mp, finish(mmap));
    // One half of the region as it was before, and one as it was after.
    expect(segments.map(({ busAddress }) => m.probe.read(busAddress, 1)?.[0])).toEqual([1, 2]);
  });

  test(`UD6 pages that the device wrote ${posted ? 'are not marked dirty' : 'are marked dirty'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const [written, read] = [m.memory(), m.memory()];
    for (const [region, direction] of [
      [written, DMA_FROM_DEVICE],
      [read, DMA_TO_DEVICE],
    ] as const) {
      m.bytes(region, 1);
      m.unmap(fd, m.map(fd, region, 1, direction).dmaaddr);
    }
    expect(m.process.mm.frame(written)?.dirty).toBe(!posted);
    expect(m.process.mm.frame(read)?.dirty).toBe(false);
  });

  test(`UD7 ${posted ? 'up to two pages too many are pinned, without a limit' : 'exactly the region is pinned, up to RLIMIT_MEMLOCK'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    m.thread.setrlimit('RLIMIT_MEMLOCK', 3 * PAGE_SIZE);
    const region = m.memory(8);
    const { dmaaddr } = m.map(fd, region, 1);
    expect(m.machine.memory.pinned).toBe(posted ? 2 : 1);
    expect(m.map(fd, region, 3 * PAGE_SIZE).result).toBe(posted ? 0 : -ENOMEM);
    expect(m.unmap(fd, dmaaddr)).toBe(0);
    expect(m.map(fd, region, 3 * PAGE_SIZE).result).toBe(0);
    expect(m.map(fd, region, 1).result).toBe(posted ? 0 : -ENOMEM);
  });

  test(`UD8 DMA_TO_DEVICE from untouched memory reads ${posted ? 'zeros for ever' : 'what is written later'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory();
    const { dmaaddr } = m.map(fd, region, 1, DMA_TO_DEVICE);
    m.bytes(region, 1)[0] = 5;
    expect(m.probe.read(dmaaddr, 1)?.[0]).toBe(posted ? 0 : 5);
  });

  test(`UD8 fork ${posted ? 'takes the page of the device away from the parent' : 'leaves the page of the device to the parent'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const region = m.memory();
    const bytes = m.bytes(region, 1);
    const { dmaaddr } = m.map(fd, region, 1, DMA_FROM_DEVICE);
    const child = m.thread.fork();
    if (typeof child === 'number') throw new Error('fork');
    m.probe.write(dmaaddr, 6);
    expect(bytes[0]).toBe(posted ? 0 : 6);
    expect(child.process.bytes(region, 1)[0]).toBe(posted ? 6 : 0);
    expect(m.unmap(fd, dmaaddr)).toBe(0);
    expect(m.misuse).toEqual([]);
  });

  test(`UD9 a failed enable leaves the device ${posted ? 'busy for ever' : 'free'}`, () => {
    const m = new UsrPciMachine(profile);
    m.oracle.fail('pci.enable');
    expect(m.open()).toBe(-EINVAL);
    expect(m.open()).toBe(posted ? -EBUSY : 0);
  });

  test(`UD10 EMFILE ${posted ? 'releases the file twice, which is a BUG' : 'releases the file once'}`, () => {
    const m = new UsrPciMachine(profile);
    m.thread.setrlimit('RLIMIT_NOFILE', 0);
    expect(m.open()).toBe(posted ? -ESRCH : -EMFILE);
    expect(m.process.dead).toBe(posted);
    expect(m.machine.kernel.usrPci.warnings).toHaveLength(posted ? 1 : 0);
  });

  test(`UD11 the page of consistent memory ${posted ? 'is never free again' : 'is free after munmap'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const out = m.memory();
    m.bytes(out, 16);
    const before = m.machine.memory.freeFrames;
    expect(m.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, virtualAddress(out + 8n))).toBe(0);
    m.thread.munmap(virtualAddress(m.view(out, 8).getBigUint64(0, true)), PAGE_SIZE);
    expect(before - m.machine.memory.freeFrames).toBe(posted ? 1 : 0);
  });

  test(`UD11 mremap of consistent memory ${posted ? 'frees what the process still has' : 'is EFAULT'}`, () => {
    const m = new UsrPciMachine(profile);
    const fd = m.open();
    const { vaddr, dmaaddr } = m.consistent(fd);
    const moved = m.thread.mremap(vaddr, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE);
    if (typeof moved === 'number') {
      expect([posted, moved]).toEqual([false, -EFAULT]);
      expect(m.probe.write(dmaaddr, 1)).toBe(true);
      return;
    }
    expect(posted).toBe(true);
    expect(m.bytes(moved, 2 * PAGE_SIZE)).toHaveLength(2 * PAGE_SIZE);
    expect(m.probe.write(dmaaddr, 1)).toBe(false);
    m.thread.munmap(moved, 2 * PAGE_SIZE);
    expect(m.misuse).toEqual(['outside every mapping', 'double unmap']);
  });

  test(`UD12 two that open at once ${posted ? 'both get the device' : 'do not both get the device'}`, () => {
    const m = new UsrPciMachine(profile);
    const { usrPci } = m.machine.kernel;
    const [first, second] = [usrPci.open(m.task, 0, 4, 0, 0n, 0), usrPci.open(m.task, 0, 4, 0, 0n, 0)];
    until(first, 'U1.enable');
    expect(finish(second)).toBe(posted ? 0 : -EBUSY);
    expect(finish(first)).toBe(posted ? 1 : 0);
  });
});
