import { EBUSY, EFAULT, EINVAL, EMFILE, ENODEV, ENOENT, EPERM, MREMAP_MAYMOVE, PAGE_SIZE } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { finish, isMaster, UsrPciMachine, until } from './usr-pci.fixture.ts';

describe('usr_pci calls of usrdrv-6.1 alone', () => {
  test('EPERM without CAP_SYS_RAWIO, before anything else', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    m.thread.capset({ CAP_SYS_RAWIO: false });
    expect(m.open(0n, 31)).toBe(-EPERM);
  });

  test('EBUSY where a kernel driver is bound', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const found = m.machine.kernel.pciDevs.get('0000:00:04.0');
    if (found === undefined) throw new Error('no device');
    found.driver = 'virtio-pci';
    expect(m.open()).toBe(-EBUSY);
  });

  test('a function in another domain', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    m.machine.pci.unplug('0000:00:04.0');
    m.machine.pci.plug(m.probe, { address: '0001:00:04.0' });
    expect(m.open()).toBe(-ENOENT);
    expect(m.thread.usrPciOpen(0, 4, 0, 0n, 1)).toBeGreaterThanOrEqual(0);
  });

  test('EMFILE leaves the device free', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    m.thread.setrlimit('RLIMIT_NOFILE', 0);
    expect(m.open()).toBe(-EMFILE);
    expect(isMaster(m)).toBe(false);
    m.thread.setrlimit('RLIMIT_NOFILE', 10);
    expect(m.open()).toBe(0);
  });

  test('ENODEV after the device has been pulled out, whose memory is taken back at once', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const fd = m.open();
    const { vaddr } = m.consistent(fd);
    const { dmaaddr } = m.map(fd, m.memory(2), 2 * PAGE_SIZE);
    m.machine.pci.unplug('0000:00:04.0');
    expect(m.machine.memory.pinned).toBe(0);
    expect(m.bytes(vaddr, PAGE_SIZE)).toHaveLength(PAGE_SIZE);
    expect(m.consistent(fd).result).toBe(-ENODEV);
    expect(m.map(fd, m.memory(), 1).result).toBe(-ENODEV);
    expect(m.unmap(fd, dmaaddr)).toBe(-ENODEV);
    expect(m.misuse).toEqual([]);
    expect(m.thread.usrPciIrqVectors(fd, 1, 1, m.memory())).toBe(-ENODEV);
    expect(m.thread.close(fd)).toBe(0);
    expect(m.machine.memory.pinned).toBe(0);
  });

  test('ENODEV where the device is pulled out while it is opened or mapped for', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const mp = m.info(m.memory(), 1);
    const { usrPci } = m.machine.kernel;
    const open = usrPci.open(m.task, 0, 4, 0, 0n, 0);
    until(open, 'U1.enable');
    m.machine.pci.unplug('0000:00:04.0');
    expect(finish(open)).toBe(-ENODEV);
    m.machine.pci.plug(m.probe, { address: '0000:00:04.0' });
    const out = m.memory();
    const consistent = usrPci.getConsistent(m.task, m.open(), PAGE_SIZE, out, out);
    until(consistent, 'U3.map');
    m.machine.pci.unplug('0000:00:04.0');
    expect(finish(consistent)).toBe(0);
    for (const name of ['U4.map', 'U4.copy']) {
      m.machine.pci.plug(m.probe, { address: '0000:00:04.0' });
      const fd = m.open();
      const mmap = usrPci.mmap(m.task, fd, mp);
      until(mmap, name);
      m.machine.pci.unplug('0000:00:04.0');
      expect(finish(mmap)).toBe(-ENODEV);
      m.thread.close(fd);
      m.view(mp, 40).setInt32(32, 2, true);
    }
    expect(m.machine.memory.pinned).toBe(0);
    expect(m.process.mm.pinnedPages).toBe(0);
  });

  test('a mapping that is being made cannot be unmapped by another thread', () => {
    const [m, twin] = [new UsrPciMachine('usrdrv-6.1'), new UsrPciMachine('usrdrv-6.1')];
    const [fd, mp] = [m.open(), m.info(m.memory(), 1)];
    const mmap = m.machine.kernel.usrPci.mmap(m.task, fd, mp);
    until(mmap, 'U4.copy');
    // A machine that does the same gets the same bus addresses.
    const { dmaaddr } = twin.map(twin.open(), twin.memory(), 1);
    expect(m.probe.read(dmaaddr, 1)).toBeDefined();
    expect(m.unmap(fd, dmaaddr)).toBe(-EINVAL);
    expect(m.answer(mp, finish(mmap))).toMatchObject({ result: 0, dmaaddr });
    expect(m.unmap(fd, dmaaddr)).toBe(0);
  });

  test('U2 the device loses consistent memory with its descriptor', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const { dmaaddr } = m.consistent(m.open());
    m.thread.close(0);
    m.open();
    expect(m.probe.write(dmaaddr, 1)).toBe(false);
  });

  test('M6 unmapping what is not mapped is reported, with the mapping that used to be there', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const fd = m.open();
    const { dmaaddr } = m.map(fd, m.memory(), 1);
    m.unmap(fd, dmaaddr);
    expect(m.unmap(fd, dmaaddr)).toBe(-EINVAL);
    expect(m.unmap(fd, 0x1000n)).toBe(-EINVAL);
    expect(m.misuse).toEqual(['double unmap', 'unknown unmap']);
    expect(m.machine.dmaDebug.reports[0]?.mapping?.address).toBe(Number(dmaaddr));
  });

  test('consistent memory cannot be enlarged', () => {
    const m = new UsrPciMachine('usrdrv-6.1');
    const { vaddr } = m.consistent(m.open());
    expect(m.thread.mremap(vaddr, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE)).toBe(-EFAULT);
  });
});
