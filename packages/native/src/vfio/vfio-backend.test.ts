import { EBADF, EFAULT, EINVAL, SystemError } from '@usrdrv/core';
import { describe, expect } from 'vitest';
import { test } from '../addon.fixture.ts';
import { addon } from '../addon.ts';
import { vfioBackend } from './vfio-backend.ts';

const NOWHERE = '00ff:00:04.0';

/** What can be asked of it on a machine without VFIO. */
describe('vfioBackend', () => {
  test('says what it can do', () => {
    using backend = vfioBackend();
    expect(backend.name).toBe('vfio');
    expect(backend.supports).toMatchObject({ msi: true, dma: true, iommu: true, masksVectors: false });
    using unsafe = vfioBackend({ noIommu: true });
    expect(unsafe.supports).toMatchObject({ dma: false, iommu: false });
  });

  test('what is no address or no mask is refused, and a function that is not there is ENOENT', () => {
    using backend = vfioBackend();
    for (const address of ['', 'edu', undefined, 4]) {
      expect(() => backend.pci.open(address as string, { dmaMask: 0n })).toThrow(TypeError);
    }
    for (const dmaMask of [-1n, 1n << 64n, 1]) {
      expect(() => backend.pci.open(NOWHERE, { dmaMask: dmaMask as bigint })).toThrow(RangeError);
    }
    expect(() => backend.pci.open(NOWHERE, { dmaMask: 0n })).toThrow(/^ENOENT/);
  });

  test('what is no line is refused, and a line that nobody has is ENOENT', () => {
    using backend = vfioBackend();
    for (const line of [-1, 0.5, Number.NaN, '4']) expect(() => backend.openIrq(line as number)).toThrow(RangeError);
    expect(() => backend.openIrq(9999)).toThrow(SystemError);
  });

  test('a function that vfio-pci does not have says who has it, and what to do', () => {
    using backend = vfioBackend();
    const [first] = backend.pci.scan();
    if (first === undefined) return;
    const { address } = first;
    expect(() => backend.pci.open(address, { dmaMask: 0n })).toThrow(
      new RegExp(`^E(NODEV|BUSY).*${address}.*usrdrv bind ${address} --to vfio-pci`),
    );
  });

  test('closed, it is EBADF', () => {
    const backend = vfioBackend();
    backend.close();
    backend.close();
    expect(() => backend.pci.open(NOWHERE, { dmaMask: 0n })).toThrow(/^EBADF/);
    expect(() => backend.openIrq(9)).toThrow(/^EBADF/);
  });
});

describe('the addon’s requests of VFIO', () => {
  const native = addon;

  test('refuse what is no descriptor of theirs', () => {
    const calls = native();
    for (const fd of [-1, 0, 1, 0.5, Number.NaN, '3', undefined, null, {}, 3n] as number[]) {
      expect(calls.vfioGetApiVersion(fd)).toBe(-EBADF);
      expect(calls.vfioGetIommuInfo(fd)).toBe(-EBADF);
      expect(calls.vfioMapDma(fd, 3, 0n, 0n, 4096n)).toBe(-EBADF);
      expect(calls.vfioUnmapDma(fd, 0, 0n, 4096n)).toBe(-EBADF);
      expect(calls.vfioSetContainer(fd, fd)).toBe(-EBADF);
      expect(calls.vfioGetDeviceFd(fd, NOWHERE)).toBe(-EBADF);
      expect(calls.vfioGetRegionInfo(fd, 0)).toBe(-EBADF);
      expect(calls.vfioSetIrqs(fd, 36, 0, 0, 1, Int32Array.of(-1))).toBe(-EBADF);
      expect(calls.vfioReset(fd)).toBe(-EBADF);
      expect(calls.vfioReadRegion(fd, 0, 4)).toBe(-EBADF);
      expect(calls.vfioWriteRegion(fd, 0, 4, 0)).toBe(-EBADF);
    }
  });

  test('refuse wrong arguments before the kernel sees them', () => {
    const calls = native();
    const fd = calls.eventfd(0, 0);
    for (const wrong of [-1, 2 ** 32, 0.5, Number.NaN, '1', null, {}] as number[]) {
      expect(calls.vfioGetRegionInfo(fd, wrong)).toBe(-EINVAL);
      expect(calls.vfioSetIrqs(fd, wrong, 0, 0, 0)).toBe(-EINVAL);
      expect(calls.vfioSetIrqs(fd, 33, 0, 0, wrong)).toBe(-EINVAL);
      expect(calls.vfioReadRegion(fd, 0, wrong)).toBe(-EINVAL);
      expect(calls.vfioMapDma(fd, wrong, 0n, 0n, 4096n)).toBe(-EINVAL);
    }
    expect(calls.vfioSetIrqs(fd, 36, 0, 0, 1)).toBe(-EFAULT);
    expect(calls.vfioSetIrqs(fd, 36, 0, 0, 2, Int32Array.of(-1))).toBe(-EINVAL);
    expect(calls.vfioSetIrqs(fd, 36, 0, 0, 1, Int32Array.of(0))).toBe(-EBADF);
    expect(calls.vfioSetIrqs(fd, 33, 0, 0, 4097)).toBe(-EINVAL);
    expect(calls.vfioMapDma(fd, 3, 4096 as never, 0n, 4096n)).toBe(-EFAULT);
    expect(calls.vfioUnmapDma(fd, 0, 1n << 64n, 4096n)).toBe(-EINVAL);
    expect(calls.vfioGetDeviceFd(fd, 4 as never)).toBe(-EFAULT);
    calls.close(fd);
  });
});
