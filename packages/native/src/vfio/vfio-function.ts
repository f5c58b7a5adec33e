import { existsSync } from 'node:fs';
import { type PciAddress, SystemError } from '@usrdrv/core';
import { linkName, names } from '../shortfall.ts';

const DRIVER = 'vfio-pci';
/** What a group that has no IOMMU is called in front of its number. */
const NO_IOMMU = 'noiommu-';

/** A function that vfio-pci has, as far as sysfs shows it. */
export interface VfioFunction {
  readonly address: PciAddress;
  /** The number of its IOMMU group. */
  readonly group: string;
  /** The group's file. */
  readonly path: string;
  readonly noIommu: boolean;
}

/**
 * Finds a function that vfio-pci has.
 * @throws SystemError ENOENT no such function; ENODEV no driver has it, or there is no IOMMU; EBUSY another driver has it
 */
export function findVfioFunction(address: PciAddress): VfioFunction {
  const folder = `/sys/bus/pci/devices/${address}`;
  if (!existsSync(folder)) throw new SystemError('ENOENT', 'open', { path: `${address}` });
  const driver = linkName('/', `${folder}/driver`);
  if (driver !== DRIVER) {
    const who = driver === undefined ? 'no driver has it' : `the driver ${driver} has it`;
    const detail = `${who}: bind it to ${DRIVER} (usrdrv bind ${address} --to ${DRIVER})`;
    throw new SystemError(driver === undefined ? 'ENODEV' : 'EBUSY', 'open', { path: `${address}`, detail });
  }
  const group = linkName('/', `${folder}/iommu_group`);
  if (group === undefined) {
    const detail = 'it is in no IOMMU group: turn the IOMMU on in the firmware, and on Intel say intel_iommu=on';
    throw new SystemError('ENODEV', 'open', { path: `${address}`, detail });
  }
  const noIommu = existsSync(`/dev/vfio/${NO_IOMMU}${group}`);
  return { address, group, path: `/dev/vfio/${noIommu ? NO_IOMMU : ''}${group}`, noIommu };
}

/**
 * The other functions of a group that keep it from being used, each with its driver.
 * @param root the folder that has the machine's /sys
 */
export function groupHolders(root: string, group: string, own: PciAddress | string): string[] {
  return names(root, `/sys/kernel/iommu_groups/${group}/devices`)
    .filter((name) => name !== `${own}`)
    .flatMap((name) => {
      const driver = linkName(root, `/sys/bus/pci/devices/${name}/driver`);
      // Bridges do no DMA of their own, and their driver says so.
      return driver === undefined || driver === DRIVER || driver === 'pcieport' ? [] : [`${name} (${driver})`];
    });
}
