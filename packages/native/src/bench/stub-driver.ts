import { existsSync, writeFileSync } from 'node:fs';
import type { PciAddress } from '@usrdrv/core';

/** A driver of the kernel that takes any function whose line can be shared. */
const DRIVER = 'uio_pci_generic';
const FOLDER = `/sys/bus/pci/drivers/${DRIVER}`;

/** Why {@link bindStub} cannot be had, undefined where it can. */
export function noStub(): string | undefined {
  return existsSync(FOLDER) ? undefined : `the kernel has no driver ${DRIVER}`;
}

/** Gives a function to the driver, which requests its line. */
export function bindStub(address: PciAddress): void {
  writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, DRIVER);
  writeFileSync(`${FOLDER}/bind`, `${address}`);
}

/** Takes it away from the driver again, where it has it. */
export function unbindStub(address: PciAddress): void {
  if (existsSync(`${FOLDER}/${address}`)) writeFileSync(`${FOLDER}/unbind`, `${address}`);
  writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, '\n');
}
