import { type ConfigSpace, PCI_INTERRUPT_PIN } from '../config-space.ts';
import { SystemError } from '../errors.ts';
import type { PciAddress } from '../pci-address.ts';
import type { FileView } from '../user-mode-kernel.ts';
import { readNumber, sysfsPath } from './sysfs.ts';

/**
 * The line that a function's interrupt pin leads to, as the kernel routed it.
 * @throws SystemError ENODEV no pin, or one that leads nowhere
 */
export function intxLine(files: FileView, address: PciAddress, config: ConfigSpace): number {
  const error = (detail: string) => new SystemError('ENODEV', 'irq', { path: `${address}`, detail });
  if (config.read8(PCI_INTERRUPT_PIN) === 0) throw error('no interrupt pin');
  const line = readNumber(files, sysfsPath(address, 'irq'));
  // 0 and 255 are what firmware leaves for a pin that leads nowhere.
  if (line === 0 || line === 255) throw error('the interrupt pin is not routed');
  return line;
}

/** @throws RangeError unless undefined, or an integer >= 0 */
export function checkVector(vector: number | undefined): void {
  if (vector === undefined || (Number.isSafeInteger(vector) && vector >= 0)) return;
  throw new RangeError(`a vector is an integer >= 0, not ${String(vector)}`);
}
