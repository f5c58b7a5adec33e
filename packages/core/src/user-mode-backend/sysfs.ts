import { isErrnoCode, SystemError } from '../errors.ts';
import type { PciFunction } from '../pci.ts';
import { PciAddress } from '../pci-address.ts';
import type { FileView } from '../user-mode-kernel.ts';

const DEVICES = '/sys/bus/pci/devices';

/** A file of a function's directory in sysfs. */
export function sysfsPath(address: PciAddress, file: string): string {
  return `${DEVICES}/${address}/${file}`;
}

/** Every function that sysfs lists, by ascending address. One that is unplugged meanwhile is left out. */
export function scanSysfs(files: FileView): PciFunction[] {
  const functions: PciFunction[] = [];
  const names = thrownAsSystemError('scandir', DEVICES, () => files.readdirSync(DEVICES));
  for (const address of names.map(PciAddress.parse).sort(PciAddress.compare)) {
    const found = ifThere(() => ({
      address,
      vendorId: readNumber(files, sysfsPath(address, 'vendor')),
      deviceId: readNumber(files, sysfsPath(address, 'device')),
      classCode: readNumber(files, sysfsPath(address, 'class')),
    }));
    if (found !== undefined) functions.push(found);
  }
  return functions;
}

/** What is read of a function, undefined where it is not there or goes meanwhile. */
export function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'ENOENT' || error.code === 'ENODEV')) return undefined;
    throw error;
  }
}

/**
 * The text of a file in sysfs.
 * @throws SystemError of the open(2) or read(2)
 */
export function readText(files: FileView, path: string): string {
  const bytes = thrownAsSystemError('open', path, () => files.readFileSync(path));
  return String.fromCharCode(...bytes);
}

/**
 * A file in sysfs that holds a number, decimal or 0x….
 * @throws SystemError as {@link readText}; EIO where it holds something else
 */
export function readNumber(files: FileView, path: string): number {
  const text = readText(files, path).trim();
  const value = Number(text);
  if (text === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new SystemError('EIO', 'read', { path, detail: `'${text}' is no number` });
  }
  return value;
}

/** What is read; an error of Node's as the SystemError of a call of that name. */
export function thrownAsSystemError<T>(syscall: string, path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && isErrnoCode(error.code)) {
      throw new SystemError(error.code, syscall, { path });
    }
    throw error;
  }
}
