import { writeFileSync } from 'node:fs';
import type { Backend, PciAddress } from '@usrdrv/core';

/** The edu devices of the guest. */
export function edus({ pci }: Backend): PciAddress[] {
  return [...pci.scan()]
    .filter((each) => each.vendorId === 0x1234 && each.deviceId === 0x11e8)
    .map((each) => each.address);
}

/** Gives all to a driver of the kernel. */
export function bindAll(backend: Backend, driver: string): PciAddress[] {
  const all = edus(backend);
  for (const address of all) {
    writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, driver);
    writeFileSync(`/sys/bus/pci/drivers/${driver}/bind`, `${address}`);
  }
  return all;
}

/** Takes them away again: what comes after this program finds them without a driver. */
export function unbindAll(backend: Backend, driver: string): void {
  for (const address of edus(backend)) {
    writeFileSync(`/sys/bus/pci/drivers/${driver}/unbind`, `${address}`);
    writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, '\n');
  }
}
