import { linkName, names, type Place, refusal, type Shortfall } from '../shortfall.ts';
import { groupHolders } from './vfio-function.ts';

const FOLDER = '/dev/vfio';
const CONTAINER = 'vfio';
const NO_IOMMU = 'noiommu-';
/** A folder of files that iommufd is used with, one for each function (Linux 6.6 and later). */
const DEVICE_FILES = 'devices';
const WITHOUT_GROUPS: Shortfall = {
  reason: `the kernel has ${FOLDER}/${DEVICE_FILES} alone, for iommufd, which this backend does not use`,
  remedy: 'a kernel with CONFIG_VFIO_GROUP',
};

/** What the vfio backend takes: a function that vfio-pci has behind an IOMMU, and the right to open the file of its group. */
export function vfioShortfall({ root, device }: Place): Shortfall | undefined {
  return device === undefined ? shortfallOfMachine(root) : shortfallOf(root, device);
}

function shortfallOfMachine(root: string): Shortfall | undefined {
  const nodes = names(root, FOLDER);
  const groups = nodes.filter((name) => /^\d+$/.test(name));
  if (groups.length === 0) {
    if (nodes.some((name) => name.startsWith(NO_IOMMU))) return withoutIommu('what vfio-pci has');
    if (nodes.includes(DEVICE_FILES)) return WITHOUT_GROUPS;
    return { reason: 'vfio-pci has no function', remedy: 'usrdrv bind ADDRESS --to vfio-pci' };
  }
  const shortfalls = groups.map((group) => cannotOpen(root, group));
  return cannotOpen(root, CONTAINER) ?? (shortfalls.includes(undefined) ? undefined : shortfalls[0]);
}

function shortfallOf(root: string, { address, driver }: NonNullable<Place['device']>): Shortfall | undefined {
  if (driver !== 'vfio-pci') {
    const reason = `${address} ${driver === undefined ? 'has no driver' : `is bound to ${driver}`}`;
    return { reason, remedy: `usrdrv bind ${address} --to vfio-pci` };
  }
  const group = linkName(root, `/sys/bus/pci/devices/${address}/iommu_group`);
  if (group === undefined || names(root, FOLDER).includes(`${NO_IOMMU}${group}`)) return withoutIommu(address);
  const holders = groupHolders(root, group, address);
  if (holders.length > 0) {
    const reason = `drivers have functions of its IOMMU group ${group}: ${holders.join(', ')}`;
    return { reason, remedy: `usrdrv bind ${holders.map((each) => each.split(' ')[0]).join(' ')} --to vfio-pci` };
  }
  const nodes = names(root, FOLDER);
  if (!nodes.includes(group) && nodes.includes(DEVICE_FILES)) return WITHOUT_GROUPS;
  return cannotOpen(root, CONTAINER) ?? cannotOpen(root, group);
}

function withoutIommu(what: string): Shortfall {
  return {
    reason: `${what} is behind no IOMMU`,
    remedy: 'turn it on: in the firmware, and on Intel with intel_iommu=on; or, unsafe, vfioBackend({ noIommu: true })',
  };
}

function cannotOpen(root: string, file: string): Shortfall | undefined {
  const path = `${FOLDER}/${file}`;
  const denied = refusal(root, path);
  if (denied === undefined) return undefined;
  const remedies: Readonly<Record<string, string>> = {
    ENOENT: 'modprobe vfio-pci; in a container: pass it on',
    EACCES: file === CONTAINER ? `chmod 666 ${path}` : `chown USER ${path}`,
  };
  return { reason: `${path} cannot be opened: ${denied}`, remedy: remedies[denied] ?? 'run it as root' };
}
