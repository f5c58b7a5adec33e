import type { MachineFiles } from '../machine/machine-files.ts';
import { type Finding, missing, notKnown, ok } from './check.ts';

const GROUPS = '/sys/kernel/iommu_groups';

/** The ACPI tables that describe an IOMMU, and how Linux is told to use it. */
const TABLES = [
  { table: 'DMAR', name: 'Intel VT-d', parameter: 'intel_iommu=on' },
  { table: 'IVRS', name: 'AMD-Vi', parameter: 'amd_iommu=on' },
];

/** Functions that an IOMMU cannot tell apart. */
export interface IommuGroup {
  readonly group: string;
  /** How the kernel uses it: DMA, DMA-FQ, identity; null where that is not shown. */
  readonly type: string | null;
  readonly functions: readonly { readonly address: string; readonly driver: string | null }[];
}

export function iommuGroups(files: MachineFiles): IommuGroup[] {
  return files.names(GROUPS).map((group) => ({
    group,
    type: files.text(`${GROUPS}/${group}/type`) ?? null,
    functions: files.names(`${GROUPS}/${group}/devices`).map((address) => ({
      address,
      driver: files.link(`${GROUPS}/${group}/devices/${address}/driver`)?.split('/').at(-1) ?? null,
    })),
  }));
}

export function iommu(files: MachineFiles): Finding {
  const described = TABLES.find(({ table }) => files.exists(`/sys/firmware/acpi/tables/${table}`));
  const units = files.names('/sys/class/iommu');
  const groups = iommuGroups(files);
  if (groups.length > 0) {
    const functions = groups.reduce((sum, group) => sum + group.functions.length, 0);
    const what = units.length > 0 ? (described?.name ?? 'an IOMMU') : 'no IOMMU, but VFIO without one';
    return ok(`${what}, on: ${functions} functions in ${groups.length} groups`);
  }
  if (described !== undefined) {
    const found = `${described.name} is there, and off`;
    return missing(found, `boot with ${described.parameter}; without it a device can reach all memory`);
  }
  const remedy =
    'turn on VT-d or AMD-Vi in the firmware; without it a device can reach all memory, and there is no VFIO';
  return missing('no IOMMU is described (ACPI tables DMAR, IVRS)', remedy);
}

/** Without it a device can send any interrupt, so VFIO refuses (EPERM). */
export function interruptRemapping(files: MachineFiles): Finding {
  const interrupts = files.text('/proc/interrupts');
  if (interrupts === undefined) return notKnown('/proc/interrupts is not there');
  if (/\bIR-/.test(interrupts)) return ok('interrupts go through it');
  if (files.text('/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts') === 'Y') {
    return ok('off, and VFIO is told to do without (allow_unsafe_interrupts)');
  }
  const remedy =
    'turn on the IOMMU with interrupt remapping; or, unsafe, modprobe vfio_iommu_type1 allow_unsafe_interrupts=1';
  return missing('off: VFIO refuses with EPERM', remedy);
}
