import type { MachineFiles } from '../machine/machine-files.ts';
import { SysfsFunction } from '../machine/pci-function.ts';
import { usesOf } from './in-use.ts';
import type { Obstacle } from './obstacle.ts';

/** The drivers in whose hands a function does not keep VFIO from its group (Documentation/driver-api/vfio.rst). */
const VFIO_COMPATIBLE = ['vfio-pci', 'pci-stub', 'pcieport'];

const NOIOMMU = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

/**
 * What keeps VFIO from the group of a function: programs get a group whole.
 * @param together those that are bound at once, the function among them
 */
export function groupObstacles(files: MachineFiles, fn: SysfsFunction, together: readonly string[]): Obstacle[] {
  const { group } = fn;
  if (group === undefined) return noIommu(files, fn);
  const folder = fn.file('iommu_group/devices');
  const mates = files
    .names(folder)
    .filter((name) => !together.includes(name))
    .map((name) => ({ name, driver: files.link(`${folder}/${name}/driver`)?.split('/').at(-1) }))
    .filter(({ driver }) => driver !== undefined && !VFIO_COMPATIBLE.includes(driver));
  const whole = [...together, ...mates.map(({ name }) => name)].sort().join(' ');
  return mates.map(({ name, driver }) => {
    const shared = `IOMMU group ${group} is shared with ${name}, which ${driver} drives`;
    const [use] = files.exists(`/sys/bus/pci/devices/${name}`) ? usesOf(files, new SysfsFunction(files, name)) : [];
    const remedy = use?.remedy ?? `usrdrv bind ${whole} --to vfio-pci`;
    return {
      code: 'EBUSY',
      what: use === undefined ? shared : `${shared}; ${use.what}`,
      remedy: `a group goes to programs whole: ${remedy}`,
    };
  });
}

function noIommu(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  if (files.text(NOIOMMU) === 'Y') return [];
  const what = `${fn.address} is in no IOMMU group, so vfio-pci does not take it`;
  const remedy = `usrdrv doctor says how to turn the IOMMU on; or --to uio_pci_generic; or, unsafe, echo 1 > ${NOIOMMU}`;
  return [{ code: 'EOPNOTSUPP', what, remedy }];
}
