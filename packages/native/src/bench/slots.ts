import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { PciAddress } from '@usrdrv/core';

const SLOTS = '/sys/bus/pci/slots';

/** The hot-plug slot that a function sits in (Documentation/PCI/acpi-info.rst), undefined where it cannot be pulled out. */
function slotOf({ domain, bus, slot }: PciAddress): string | undefined {
  const device = [hex(domain, 4), hex(bus, 2), hex(slot, 2)].join(':');
  if (!existsSync(SLOTS)) return undefined;
  const folders = readdirSync(SLOTS).map((name) => `${SLOTS}/${name}`);
  return folders.find(
    (folder) => existsSync(`${folder}/power`) && readFileSync(`${folder}/address`, 'utf8').trim() === device,
  );
}

/** Why {@link eject} cannot be had, undefined where it can. */
export function noEject(address: PciAddress): string | undefined {
  return slotOf(address) === undefined ? `${address} is in no hot-plug slot` : undefined;
}

/**
 * Takes the power from a function's slot. The device is gone once it resolves, and comes back only if somebody plugs it in.
 * Aside from this thread, which may have to give the device back before it can go.
 */
export async function eject(address: PciAddress): Promise<void> {
  const folder = slotOf(address);
  if (folder === undefined) throw new Error(`${address} is in no hot-plug slot`);
  await writeFile(`${folder}/power`, '0');
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
