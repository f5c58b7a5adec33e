import { type Backend, type IrqSource, type PciAddress, type PciBus, SystemError } from '@usrdrv/core';
import {
  type BackendResources,
  checkLine,
  KernelBackend,
  readNumber,
  scanSysfs,
  sysfsPath,
} from '@usrdrv/core/backend-parts';
import { LinuxKernel } from '../linux-kernel.ts';
import { type VfioDevice, VfioPciDevice } from './pci-device.ts';
import { findVfioFunction, type VfioFunction } from './vfio-function.ts';
import { OpenGroups } from './vfio-group.ts';

export interface VfioBackendOptions {
  /**
   * Also opens functions without an IOMMU, where the kernel has been told to allow that (V11). It is unsafe: such a device
   * can read and write all of the machine's memory. It takes CAP_SYS_RAWIO, taints the kernel, and has no DMA here.
   */
  readonly noIommu?: boolean;
}

/** A backend whose devices have what VFIO has. */
export interface VfioBackend extends Backend {
  readonly pci: PciBus<VfioDevice>;
}

/**
 * The functions of this machine that vfio-pci has, over VFIO's groups and type 1 IOMMU. An ordinary user can have them, who may
 * open the group's file; what is mapped for DMA counts against RLIMIT_MEMLOCK.
 *
 * - A group is opened with the first of its functions, and closed with the last. It is nobody else's meanwhile: EBUSY.
 * - The INTx line may be shared: the kernel masks it at the device. MSI and MSI-X vectors are not masked: each message counts.
 * - A device that the kernel wants back is given back at once (see {@link VfioDevice.removed}).
 * - `openIrq(line)` is the interrupt of the one function on that line that vfio-pci has.
 * @throws Error where the addon is not there
 */
export function vfioBackend({ noIommu = false }: VfioBackendOptions = {}): VfioBackend {
  const groups = new OpenGroups();
  const devices = new Map<string, VfioPciDevice>();
  const kernel = new LinuxKernel('none');

  function open(owner: BackendResources, address: PciAddress, dmaMask: bigint): VfioPciDevice {
    const before = devices.get(`${address}`);
    if (before !== undefined && owner.devices.has(before)) {
      throw new SystemError('EBUSY', 'open', { path: `${address}`, detail: 'opened already' });
    }
    const fn = findVfioFunction(address);
    if (fn.noIommu) allowNoIommu(fn, noIommu);
    const device = new VfioPciDevice(owner, groups, fn, dmaMask);
    devices.set(`${address}`, device);
    return device;
  }

  return new KernelBackend<VfioDevice>(kernel, {
    name: 'vfio',
    supports: {
      msi: true,
      masksUntilNextWait: true,
      masksVectors: false,
      sharedInterrupts: true,
      dma: !noIommu,
      consistentLargerThanPage: true,
      iommu: !noIommu,
      mapPhysical: true,
    },
    open,
    openIrq(owner, line) {
      checkLine(line);
      const address = onlyFunctionOn(line);
      const device = devices.get(`${address}`);
      if (device !== undefined && owner.devices.has(device)) return device.irq();
      return withItsDevice(open(owner, address, 0n));
    },
  });

  function onlyFunctionOn(line: number): PciAddress {
    const onLine = scanSysfs(kernel.files)
      .map(({ address }) => address)
      .filter((address) => readNumber(kernel.files, sysfsPath(address, 'irq')) === line);
    const path = `/proc/irq/${line}`;
    if (onLine.length === 0) {
      throw new SystemError('ENOENT', 'open', { path, detail: 'no PCI function interrupts by this line' });
    }
    const ours = onLine.filter(isOurs);
    const [first] = ours;
    if (first === undefined) {
      const detail = `vfio-pci has none of ${onLine.join(', ')} (usrdrv bind ${onLine[0]} --to vfio-pci)`;
      throw new SystemError('EBUSY', 'open', { path, detail });
    }
    if (ours.length === 1) return first;
    const detail = `shared by ${ours.join(', ')}: open one of them, and its irq()`;
    throw new SystemError('EBUSY', 'open', { path, detail });
  }
}

function isOurs(address: PciAddress): boolean {
  try {
    findVfioFunction(address);
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

/** The interrupt of a device that nobody else has: closing it closes the device. */
function withItsDevice(device: VfioPciDevice): IrqSource {
  try {
    const irq = device.irq();
    const close = irq.close.bind(irq);
    irq.close = () => {
      close();
      device.close();
    };
    return irq;
  } catch (error) {
    device.close();
    throw error;
  }
}

/** @throws SystemError EPERM unless it was asked for */
function allowNoIommu({ address }: VfioFunction, asked: boolean): void {
  if (!asked) {
    const detail = 'it has no IOMMU, so it can write to all of memory: vfioBackend({ noIommu: true }) takes that on';
    throw new SystemError('EPERM', 'open', { path: `${address}`, detail });
  }
  process.emitWarning(`${address} is opened without an IOMMU: it can read and write all of the machine's memory`, {
    type: 'UnsafeDevice',
    code: 'USRDRV_NO_IOMMU',
  });
}
