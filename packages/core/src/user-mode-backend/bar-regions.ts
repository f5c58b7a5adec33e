import { decodeBars, type MemoryBar } from '../bars.ts';
import { type ErrnoCode, SystemError } from '../errors.ts';
import type { MmioRegion } from '../mmio.ts';
import { type Closeable, OpenResources } from '../open-resources.ts';
import type { PciAddress } from '../pci-address.ts';
import type { FileView } from '../user-mode-kernel.ts';
import type { MappedRegion } from './mmio-region.ts';
import { readText, sysfsPath } from './sysfs.ts';

const BARS = 6;

/** Maps the memory of a BAR; the region takes itself out of `owner` as it closes. */
export type MapBar = (bar: MemoryBar, owner: OpenResources<MmioRegion>) => MappedRegion;

/** The BARs of an opened device: each is mapped when it is asked for, and then stays the same region until it is closed. */
export class BarRegions implements Closeable {
  readonly #files: FileView;
  readonly #address: PciAddress;
  readonly #map: MapBar;
  readonly #open = new OpenResources<MmioRegion>();
  readonly #regions: (MappedRegion | undefined)[] = [];
  #closed = false;

  constructor(files: FileView, address: PciAddress, map: MapBar) {
    this.#files = files;
    this.#address = address;
    this.#map = map;
  }

  /** As {@link PciDevice.bar}. */
  get(index: number): MmioRegion {
    if (!Number.isInteger(index) || index < 0 || index >= BARS) {
      throw new RangeError(`a BAR is an integer from 0 to ${BARS - 1}, not ${String(index)}`);
    }
    if (this.#closed) throw this.#error('EBADF', 'closed');
    const open = this.#regions[index];
    if (open !== undefined && this.#open.has(open)) return open;
    const bar = decodeBars(readText(this.#files, sysfsPath(this.#address, 'resource')))[index];
    if (bar === undefined) throw this.#error('ENODEV', `nothing behind BAR ${index}`);
    if (bar.kind === 'io') throw this.#error('EINVAL', `BAR ${index} decodes I/O ports`);
    const region = this.#map(bar, this.#open);
    this.#regions[index] = region;
    return region;
  }

  /** The device is given back: what is open of it says so. */
  remove(): void {
    for (const region of this.#regions) region?.remove();
  }

  close(): void {
    this.#closed = true;
    this.#open.closeAll();
  }

  #error(code: ErrnoCode, detail: string): SystemError {
    return new SystemError(code, 'bar', { path: `${this.#address}`, detail });
  }
}
