import { existsSync, writeFileSync } from 'node:fs';
import type { PciAddress } from '@usrdrv/core';

/** Why {@link bindTo} cannot be had, undefined where it can. */
export function noDriver(driver: string): string | undefined {
  return existsSync(folderOf(driver)) ? undefined : `the kernel has no driver ${driver}`;
}

/** Gives a function to a driver of the kernel. */
export function bindTo(driver: string, address: PciAddress): void {
  writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, driver);
  writeFileSync(`${folderOf(driver)}/bind`, `${address}`);
}

/** Takes it away from the driver again, where it has it. */
export function unbindFrom(driver: string, address: PciAddress): void {
  if (existsSync(`${folderOf(driver)}/${address}`)) writeFileSync(`${folderOf(driver)}/unbind`, `${address}`);
  writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, '\n');
}

function folderOf(driver: string): string {
  return `/sys/bus/pci/drivers/${driver}`;
}
