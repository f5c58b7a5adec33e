import { checkResult, type ErrnoMeanings, O_RDWR, SystemError } from '@usrdrv/core';
import { type Closeable, closeEach, OF_PINNING } from '@usrdrv/core/backend-parts';
import { type Addon, addon } from '../addon.ts';
import { DeviceFile } from './device-file.ts';
import { filledIn } from './filled-in.ts';
import { IovaAllocator } from './iova-allocator.ts';
import {
  decodeIovaRanges,
  type IovaRange,
  VFIO_API_VERSION,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_NOIOMMU_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from './uapi.ts';
import { groupHolders, type VfioFunction } from './vfio-function.ts';

const CONTAINER = '/dev/vfio/vfio';
/** What a kernel before 5.4 leaves to guess: as many bits as the smallest IOMMU of Intel's has, without the range of MSI. */
const OLD_KERNEL: readonly IovaRange[] = [
  { start: 0n, end: 0xfedf_ffffn },
  { start: 0xfef0_0000n, end: (1n << 39n) - 1n },
];

const OF_CONTAINER: ErrnoMeanings = {
  ENOENT: 'the kernel has no VFIO: modprobe vfio-pci',
  ENODEV: 'the kernel has no VFIO: modprobe vfio-pci',
  EACCES: `this user may not open it: chmod 666 ${CONTAINER}, which gives nobody a device`,
};

const OF_MAPPING: ErrnoMeanings = {
  ...OF_PINNING,
  ENOSPC: 'as many mappings as the kernel allows: the parameter dma_entry_limit of vfio_iommu_type1',
  EFAULT: 'a part of it is no memory of this process',
};

/** An IOMMU group with a container of its own: all of its functions share bus addresses, and nobody else does. */
class VfioGroup implements Closeable {
  /** Bus addresses; none without an IOMMU. */
  readonly iovas: IovaAllocator | undefined;
  readonly #function: VfioFunction;
  readonly #addon: Addon;
  readonly #container: number;
  readonly #group: number;
  /** How many devices of it are open. */
  users = 0;

  /** @throws SystemError as {@link PciBus.open}; nothing stays open then */
  constructor(fn: VfioFunction) {
    this.#function = fn;
    this.#addon = addon();
    this.#container = openContainer(this.#addon);
    const opened: number[] = [this.#container];
    try {
      this.#group = openGroup(this.#addon, fn);
      opened.unshift(this.#group);
      this.#join();
      this.iovas = fn.noIommu ? undefined : new IovaAllocator(this.#ranges());
    } catch (error) {
      for (const fd of opened) this.#addon.close(fd);
      throw error;
    }
  }

  /** @throws SystemError */
  openDevice({ address }: VfioFunction): DeviceFile {
    const fd = this.#addon.vfioGetDeviceFd(this.#group, `${address}`);
    checkResult(fd, 'VFIO_GROUP_GET_DEVICE_FD', `${address}`, {
      ENODEV: `it has left vfio-pci: usrdrv bind ${address} --to vfio-pci`,
      EBUSY: 'somebody else has it open',
      EPERM: `it shares its reset with a function that somebody else has open`,
    });
    return new DeviceFile(this.#addon, fd, `${address}`);
  }

  /**
   * Has the IOMMU translate `iova` to memory of the process (V4).
   * @param flags VFIO_DMA_MAP_FLAG_
   * @throws SystemError EINVAL, EEXIST, ENOSPC, ENOMEM, EFAULT; nothing is mapped then
   */
  map(vaddr: bigint, iova: bigint, size: number, flags: number): void {
    const result = this.#addon.vfioMapDma(this.#container, flags, vaddr, iova, BigInt(size));
    checkResult(result, 'VFIO_IOMMU_MAP_DMA', this.#function.path, OF_MAPPING);
  }

  /** Takes a mapping back, as a whole (V5). */
  unmap(iova: bigint, size: number): void {
    const result = this.#addon.vfioUnmapDma(this.#container, 0, iova, BigInt(size));
    if (typeof result === 'number') throw SystemError.fromResult(result, 'VFIO_IOMMU_UNMAP_DMA', this.#function.path);
    if (result === BigInt(size)) return;
    const detail = `${result} of ${size} bytes were mapped at 0x${iova.toString(16)}`;
    throw new SystemError('EINVAL', 'VFIO_IOMMU_UNMAP_DMA', { path: this.#function.path, detail });
  }

  close(): void {
    // The group leaves the container as it closes.
    const files = [this.#group, this.#container];
    closeEach(files.map((fd) => ({ close: () => checkResult(this.#addon.close(fd), 'close', this.#function.path) })));
  }

  /** Puts the group into the container, and the container under the IOMMU (V2, V3). */
  #join(): void {
    const { path, group, address, noIommu } = this.#function;
    const status = checkResult(this.#addon.vfioGetGroupStatus(this.#group), 'VFIO_GROUP_GET_STATUS', path);
    if ((status & VFIO_GROUP_FLAGS_VIABLE) === 0) {
      const others = groupHolders('/', group, address);
      const detail = `its group ${group} is not viable: drivers have ${others.join(', ')}; give all of the group to vfio-pci`;
      throw new SystemError('EBUSY', 'VFIO_GROUP_GET_STATUS', { path: `${address}`, detail });
    }
    const joined = this.#addon.vfioSetContainer(this.#group, this.#container);
    checkResult(joined, 'VFIO_GROUP_SET_CONTAINER', path, { EPERM: 'without an IOMMU it takes CAP_SYS_RAWIO' });
    const type = noIommu ? VFIO_NOIOMMU_IOMMU : this.#type1();
    checkResult(this.#addon.vfioSetIommu(this.#container, type), 'VFIO_SET_IOMMU', path, {
      ENODEV: 'the kernel has no type 1 IOMMU: modprobe vfio_iommu_type1',
      EPERM: 'the machine cannot keep devices from sending each other’s interrupts (no interrupt remapping)',
    });
  }

  /** Type 1, version 2 where the kernel has it: that unmaps only what was mapped. */
  #type1(): number {
    const v2 = this.#addon.vfioCheckExtension(this.#container, VFIO_TYPE1v2_IOMMU) > 0;
    return v2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU;
  }

  #ranges(): readonly IovaRange[] {
    const info = this.#addon.vfioGetIommuInfo(this.#container);
    return decodeIovaRanges(filledIn(info, 'VFIO_IOMMU_GET_INFO', this.#function.path)) ?? OLD_KERNEL;
  }
}

export type { VfioGroup };

/** The groups that a backend has open: each as long as one of its functions is. */
export class OpenGroups {
  readonly #groups = new Map<string, VfioGroup>();

  /** @throws SystemError as {@link PciBus.open} */
  acquire(fn: VfioFunction): VfioGroup {
    const group = this.#groups.get(fn.path) ?? new VfioGroup(fn);
    this.#groups.set(fn.path, group);
    group.users++;
    return group;
  }

  release(fn: VfioFunction): void {
    const group = this.#groups.get(fn.path);
    if (group === undefined || --group.users > 0) return;
    this.#groups.delete(fn.path);
    group.close();
  }
}

function openContainer(calls: Addon): number {
  const fd = checkResult(calls.open(CONTAINER, O_RDWR), 'open', CONTAINER, OF_CONTAINER);
  const version = calls.vfioGetApiVersion(fd);
  if (version === VFIO_API_VERSION) return fd;
  calls.close(fd);
  throw new SystemError('EINVAL', 'VFIO_GET_API_VERSION', { path: CONTAINER, detail: `version ${version}` });
}

function openGroup(calls: Addon, { path, address }: VfioFunction): number {
  return checkResult(calls.open(path, O_RDWR), 'open', path, {
    EBUSY: `another process has the group of ${address} open`,
    EACCES: `this user may not open it: chown it, or write an udev rule`,
    EPERM: 'without an IOMMU it takes CAP_SYS_RAWIO',
    ENOENT: `it has gone: usrdrv bind ${address} --to vfio-pci`,
  });
}
