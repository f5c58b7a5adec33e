// The part of linux/vfio.h that is used here: numbers, and the structures that the kernel fills in.

export const VFIO_API_VERSION = 0;
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_NOIOMMU_IOMMU = 8;

export const VFIO_GROUP_FLAGS_VIABLE = 1;

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;

/** The regions of a PCI device (V6): the BARs are 0 to 5. */
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;

/** The interrupts of a PCI device (V7). */
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;

export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_UNMASK = 16;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 32;

export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;

const VFIO_REGION_INFO_FLAG_MMAP = 4;
const VFIO_REGION_INFO_FLAG_CAPS = 8;
const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
const VFIO_IOMMU_INFO_CAPS = 2;
const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;

/** A part of a region that mmap(2) takes, in bytes from the region's start. */
export interface MappableArea {
  readonly offset: number;
  readonly size: number;
}

/** struct vfio_region_info */
export interface RegionInfo {
  /** Bytes; 0 where there is no such region. */
  readonly size: number;
  /** Where it starts in the device's file. */
  readonly offset: number;
  /** All of it where the kernel names no parts (V6). */
  readonly mappable: readonly MappableArea[];
}

/** A range of bus addresses that the IOMMU translates; `end` is the last. */
export interface IovaRange {
  readonly start: bigint;
  readonly end: bigint;
}

export function decodeRegionInfo(bytes: Uint8Array): RegionInfo {
  const view = viewOf(bytes);
  const flags = view.getUint32(4, true);
  const size = Number(view.getBigUint64(16, true));
  const offset = Number(view.getBigUint64(24, true));
  if ((flags & VFIO_REGION_INFO_FLAG_MMAP) === 0) return { size, offset, mappable: [] };
  const first = (flags & VFIO_REGION_INFO_FLAG_CAPS) === 0 ? 0 : view.getUint32(12, true);
  const sparse = capability(view, first, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
  if (sparse === undefined) return { size, offset, mappable: [{ offset: 0, size }] };
  const areas = pairs(view, sparse).map(([at, length]) => ({ offset: Number(at), size: Number(length) }));
  return { size, offset, mappable: areas.filter((area) => area.size > 0) };
}

/** From struct vfio_iommu_type1_info; undefined where the kernel is too old to say (before 5.4). */
export function decodeIovaRanges(bytes: Uint8Array): IovaRange[] | undefined {
  const view = viewOf(bytes);
  if ((view.getUint32(4, true) & VFIO_IOMMU_INFO_CAPS) === 0) return undefined;
  const ranges = capability(view, view.getUint32(16, true), VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
  return ranges === undefined ? undefined : pairs(view, ranges).map(([start, end]) => ({ start, end }));
}

/** Flags and number of interrupts, from struct vfio_irq_info; flags alone from struct vfio_device_info. */
export function decodeIrqCount(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(12, true);
}

export function decodeDeviceFlags(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(4, true);
}

/** Where a capability starts in the chain: each is { u16 id, u16 version, u32 next }, next an offset from the start, 0 at the end. */
function capability(view: DataView, first: number, id: number): number | undefined {
  const seen = new Set<number>();
  for (let at = first; at !== 0 && at + 8 <= view.byteLength && !seen.has(at); at = view.getUint32(at + 4, true)) {
    if (view.getUint16(at, true) === id) return at;
    seen.add(at);
  }
  return undefined;
}

/** Sparse areas and IOVA ranges have one form: a header, { u32 how many, u32 reserved }, and so many pairs of u64. */
function pairs(view: DataView, capability: number): [bigint, bigint][] {
  const first = capability + 16;
  const room = Math.max(0, Math.floor((view.byteLength - first) / 16));
  const count = first <= view.byteLength ? Math.min(view.getUint32(capability + 8, true), room) : 0;
  return Array.from({ length: count }, (_, pair) => {
    const at = first + 16 * pair;
    return [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
