import { type Bar, decodeBars, type FileView, type PciFunction } from '@usrdrv/core';
import type { Host } from './backends.ts';

/** `usrdrv lspci`: what is on the buses, a block for each function. */
export function lspci({ backend, files }: Host): string {
  const functions = [...backend.pci.scan()];
  if (functions.length === 0) return 'no PCI function\n';
  return functions.map((found) => describe(found, files)).join('');
}

function describe(found: PciFunction, files: FileView): string {
  const { address, vendorId, deviceId, classCode } = found;
  const folder = `/sys/bus/pci/devices/${address}`;
  const ids = `${hex(vendorId, 4)}:${hex(deviceId, 4)}`;
  const lines = [`${address} ${ids} class ${hex(classCode, 6)} ${interrupt(text(files, `${folder}/irq`))}`];
  for (const bar of decodeBars(text(files, `${folder}/resource`))) {
    if (bar !== undefined) lines.push(`    BAR ${bar.index}: ${describeBar(bar)}`);
  }
  return `${lines.join('\n')}\n`;
}

function interrupt(irq: string): string {
  return Number(irq) === 0 ? 'no irq' : `irq ${Number(irq)}`;
}

function describeBar(bar: Bar): string {
  if (bar.kind === 'io') return `I/O ports at ${hex(bar.port, 4)}, ${bar.size} ports`;
  const kind = `${bar.width} bits${bar.prefetchable ? ', prefetchable' : ''}`;
  return `memory at 0x${hex(bar.address, 8)}, ${size(bar.size)} (${kind})`;
}

function text(files: FileView, path: string): string {
  return new TextDecoder().decode(files.readFileSync(path));
}

function hex(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** A power of two, in the largest unit that divides it. */
function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && value % 1024 === 0 && unit < units.length - 1; unit++) value /= 1024;
  return `${value} ${units[unit]}`;
}
