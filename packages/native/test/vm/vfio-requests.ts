import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { EBUSY, EEXIST, EFAULT, EINVAL, MAP_ANONYMOUS, MAP_PRIVATE, O_RDWR, PAGE_SIZE } from '@usrdrv/core';
import { type Addon, addon } from '../../src/addon.ts';
import { type Checks, succeeds } from './checks.ts';

const CONTAINER = '/dev/vfio/vfio';
const TYPE1V2 = 3;
const READ_WRITE = 3;
const PAGE = BigInt(PAGE_SIZE);
const IOVA = 0x10_0000n;

/** V1 to V5, request by request, on the group of a function that vfio-pci has. */
export function requestChecks(address: string): Checks {
  return {
    'V1 V2 V3 a group is opened once, joins one container, and that takes an IOMMU only then': () => {
      const calls = addon();
      const path = groupPath(address);
      const container = succeeds(calls.open(CONTAINER, O_RDWR));
      const other = succeeds(calls.open(CONTAINER, O_RDWR));
      assert.equal(calls.vfioGetApiVersion(container), 0);
      assert.equal(calls.vfioSetIommu(container, TYPE1V2), -EINVAL);
      const group = succeeds(calls.open(path, O_RDWR));
      assert.equal(calls.open(path, O_RDWR), -EBUSY);
      assert.equal(calls.vfioSetContainer(group, container), 0);
      assert.equal(calls.vfioSetContainer(group, other), -EINVAL);
      assert.equal(calls.vfioSetIommu(container, TYPE1V2), 0);
      assert.equal(calls.vfioSetIommu(container, TYPE1V2), -EINVAL);
      for (const fd of [group, container, other]) assert.equal(calls.close(fd), 0);
    },

    'V4 each wrong mapping has its error, and leaves nothing': () =>
      withContainer(address, (calls, container) => {
        const memory = calls.mmap(0n, 4 * PAGE_SIZE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
        assert(typeof memory === 'bigint');
        const map = (flags: number, vaddr: bigint, iova: bigint, size: bigint) =>
          calls.vfioMapDma(container, flags, vaddr, iova, size);
        assert.equal(map(0x80, memory, IOVA, PAGE), -EINVAL, 'unknown flags');
        assert.equal(map(READ_WRITE, memory, IOVA, 0n), -EINVAL, 'size 0');
        assert.equal(map(0, memory, IOVA, PAGE), -EINVAL, 'neither READ nor WRITE');
        assert.equal(map(READ_WRITE, memory, IOVA, 100n), -EINVAL, 'size unaligned');
        assert.equal(map(READ_WRITE, memory, IOVA + 1n, PAGE), -EINVAL, 'iova unaligned');
        assert.equal(map(READ_WRITE, memory + 1n, IOVA, PAGE), -EINVAL, 'vaddr unaligned');
        assert.equal(map(READ_WRITE, memory, 1n << 60n, PAGE), -EINVAL, 'outside the IOVA ranges');
        assert.equal(map(READ_WRITE, memory, 0xfee0_0000n, PAGE), -EINVAL, 'where MSI goes');
        assert.equal(map(READ_WRITE, memory, IOVA, 5n * PAGE), -EFAULT, 'past the end of the memory');
        assert.equal(map(READ_WRITE, 0x40_0000n, IOVA, PAGE), -EFAULT, 'memory of the program');
        assert.equal(map(READ_WRITE, memory, IOVA, 4n * PAGE), 0);
        assert.equal(map(READ_WRITE, memory, IOVA + PAGE, PAGE), -EEXIST, 'overlap');

        const unmap = (iova: bigint, size: bigint) => calls.vfioUnmapDma(container, 0, iova, size);
        assert.equal(unmap(IOVA, PAGE), -EINVAL, 'V5 a half of it');
        assert.equal(unmap(IOVA + PAGE, 8n * PAGE), -EINVAL, 'V5 its end');
        assert.equal(unmap(0x100n * IOVA, PAGE), 0n, 'V5 nothing there');
        assert.equal(unmap(IOVA, 4n * PAGE), 4n * PAGE);
        assert.equal(unmap(IOVA, 4n * PAGE), 0n);
        assert.equal(calls.munmap(memory, 4 * PAGE_SIZE), 0);
      }),
  };
}

function withContainer(address: string, act: (calls: Addon, container: number) => void): void {
  const calls = addon();
  const container = succeeds(calls.open(CONTAINER, O_RDWR));
  const group = succeeds(calls.open(groupPath(address), O_RDWR));
  try {
    assert.equal(calls.vfioSetContainer(group, container), 0);
    assert.equal(calls.vfioSetIommu(container, TYPE1V2), 0);
    act(calls, container);
  } finally {
    for (const fd of [group, container]) calls.close(fd);
  }
}

function groupPath(address: string): string {
  return `/dev/vfio/${readlinkSync(`/sys/bus/pci/devices/${address}/iommu_group`).split('/').at(-1)}`;
}
