import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';

export const MASK_28 = 0xfff_ffffn;
/** QEMU 7.2 dies of a transfer that touches the last byte of edu's buffer of 4096. */
export const BLOCK = 4095;

const DEVICES = '/sys/bus/pci/devices';

/** The functions with these ids, by ascending address. */
export function functions(vendor: string, device: string): string[] {
  return readdirSync(DEVICES)
    .filter((name) => sysfs(name, 'vendor') === vendor && sysfs(name, 'device') === device)
    .sort();
}

export function sysfs(address: string, file: string): string {
  return readFileSync(`${DEVICES}/${address}/${file}`, 'utf8').trim();
}

/** Gives a function to a driver of the kernel; without one it is nobody's afterwards. */
export async function bind(address: string, driver?: string): Promise<void> {
  const folder = `${DEVICES}/${address}`;
  // Aside from this thread, which may have to give the device back before it can go.
  if (existsSync(`${folder}/driver`)) await writeFile(`${folder}/driver/unbind`, address);
  writeFileSync(`${folder}/driver_override`, driver ?? '\n');
  if (driver !== undefined) writeFileSync('/sys/bus/pci/drivers_probe', address);
}
