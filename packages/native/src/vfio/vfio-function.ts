import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { type PciAddress, SystemError } from '@usrdrv/core';

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
  const driver = linkName(`${folder}/driver`);
  if (driver !== DRIVER) {
    const who = driver === undefined ? 'no driver has it' : `the driver ${driver} has it`;
    const detail = `${who}: bind it to ${DRIVER} (usrdrv bind ${address} --to ${DRIVER})`;
    throw new SystemError(driver === undefined ? 'ENODEV' : 'EBUSY', 'open', { path: `${address}`, detail });
  }
  const group = linkName(`${folder}/iommu_group`);
  if (group === undefined) {
    const detail = 'it is in no IOMMU group: turn the IOMMU on in the firmware, and on Intel say intel_iommu=on';
    throw new SystemError('ENODEV', 'open', { path: `${address}`, detail });
  }
  const noIommu = existsSync(`/dev/vfio/${NO_IOMMU}${group}`);
  return { address, group, path: `/dev/vfio/${noIommu ? NO_IOMMU : ''}${group}`, noIommu };
}

/** The other functions of a group that keep it from being used, each with its driver. */
export function groupHolders(group: string, own: PciAddress): string[] {
  return readdirSync(`/sys/kernel/iommu_groups/${group}/devices`)
    .filter((name) => name !== `${own}`)
    .flatMap((name) => {
      const driver = linkName(`/sys/bus/pci/devices/${name}/driver`);
      // Bridges do no DMA of their own, and their driver says so.
      return driver === undefined || driver === DRIVER || driver === 'pcieport' ? [] : [`${name} (${driver})`];
    });
}

/** The name of what a link leads to, undefined where there is none. */
function linkName(path: string): string | undefined {
  try {
    return readlinkSync(path).split('/').at(-1);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
