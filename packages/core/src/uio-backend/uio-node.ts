import { isErrnoCode, SystemError } from '../errors.ts';
import type { PciAddress } from '../pci-address.ts';
import { readNumber, readText, sysfsPath } from '../user-mode-backend/sysfs.ts';
import type { FileView } from '../user-mode-kernel.ts';

/** A region of memory that the node maps, as /sys/class/uio/uioN/maps/mapM has it. */
interface UioMap {
  /** What mmap(2) counts in pages to pick it (N6). */
  readonly index: number;
  /** Physical address of its first page. */
  readonly addr: number;
  readonly size: number;
}

/** The node that a driver made of a function. */
export interface UioNode {
  /** `iio` is what UIO was before it was mainline (S5): events and memory have nodes of their own there. */
  readonly kind: 'uio' | 'iio';
  /** What its driver calls it, which mostly is the driver's own name. */
  readonly driver: string;
  /** Where it is read, written and waited for. */
  readonly events: string;
  /** Where memory is mapped from. */
  readonly memory: string;
  readonly maps: readonly UioMap[];
  /** The count of all events, as text. */
  readonly total: string;
}

/**
 * Finds the node of a function.
 * @throws SystemError ENOENT no such function; EBUSY another driver has it; ENODEV no driver has it
 */
export function findUioNode(files: FileView, address: PciAddress): UioNode {
  if (!files.existsSync(sysfsPath(address, 'vendor'))) throw new SystemError('ENOENT', 'open', { path: `${address}` });
  const node = nodeOf(files, address);
  if (node !== undefined) return node;
  const driver = driverOf(files, address);
  if (driver === undefined) {
    const detail = `no driver has it: bind it to uio_pci_generic (usrdrv bind ${address} --to uio_pci_generic)`;
    throw new SystemError('ENODEV', 'open', { path: `${address}`, detail });
  }
  const detail = `the driver ${driver} has it: bind it to uio_pci_generic (usrdrv bind ${address} --to uio_pci_generic)`;
  throw new SystemError('EBUSY', 'open', { path: `${address}`, detail });
}

/** Undefined where the function has none. */
export function nodeOf(files: FileView, address: PciAddress): UioNode | undefined {
  for (const kind of ['uio', 'iio'] as const) {
    const name = list(files, sysfsPath(address, kind)).find((each) => /^[ui]io\d+$/.test(each));
    if (name === undefined) continue;
    const memory = `/dev/${name}`;
    return {
      kind,
      driver: readText(files, sysfsPath(address, `${kind}/${name}/name`)).trim(),
      events: kind === 'iio' ? `${memory}_event` : memory,
      memory,
      maps: mapsOf(files, address, kind, name),
      total: sysfsPath(address, `${kind}/${name}/event`),
    };
  }
  return undefined;
}

function mapsOf(files: FileView, address: PciAddress, kind: string, name: string): UioMap[] {
  const maps = sysfsPath(address, `${kind}/${name}/maps`);
  return list(files, maps).flatMap((map) => {
    const index = Number(/^map(\d+)$/.exec(map)?.[1] ?? Number.NaN);
    if (Number.isNaN(index)) return [];
    return { index, addr: readNumber(files, `${maps}/${map}/addr`), size: readNumber(files, `${maps}/${map}/size`) };
  });
}

/** The kernel driver that has a function, as its uevent says. */
function driverOf(files: FileView, address: PciAddress): string | undefined {
  return /^DRIVER=(.+)$/m.exec(readText(files, sysfsPath(address, 'uevent')))?.[1];
}

/** The names in a directory, none where it is not there. */
function list(files: FileView, path: string): string[] {
  try {
    return files.readdirSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && isErrnoCode(error.code))) throw error;
    if (error.code === 'ENOENT') return [];
    throw new SystemError(error.code, 'scandir', { path });
  }
}
