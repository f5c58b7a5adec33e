import type { Backend, PciAddress } from '@usrdrv/core';

/** The edu devices of the guest. */
export function edus({ pci }: Backend): PciAddress[] {
  return [...pci.scan()]
    .filter((each) => each.vendorId === 0x1234 && each.deviceId === 0x11e8)
    .map((each) => each.address);
}
