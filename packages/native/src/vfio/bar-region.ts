import {
  checkResult,
  MAP_SHARED,
  type MemoryBar,
  type MmioRegion,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  type UserProcess,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { type Closeable, closeEach, MappedRegion, mapped, type OpenResources } from '@usrdrv/core/backend-parts';
import type { DeviceFile } from './device-file.ts';
import { type MappedArea, PartlyMappedRegisters } from './region-access.ts';
import type { MappableArea } from './uapi.ts';

/**
 * Maps a BAR through the device's file, as far as the kernel lets it be mapped (V6).
 * @throws SystemError ENODEV nothing behind that BAR; of the mmap(2)
 */
export function mapBarRegion(
  process: UserProcess,
  device: DeviceFile,
  { index }: MemoryBar,
  owner: OpenResources<MmioRegion>,
): MappedRegion {
  const { size, offset, mappable } = device.region(index);
  if (size === 0) throw new SystemError('ENODEV', 'bar', { path: device.path, detail: `nothing behind BAR ${index}` });
  const mappings: Closeable[] = [];
  try {
    const areas = mappable.map((area) => mapArea(process, device, offset, area, mappings));
    const [first] = areas;
    const whole = first !== undefined && first.offset === 0 && first.registers.length === size;
    const registers = whole ? first.registers : new PartlyMappedRegisters(device, offset, size, areas);
    return owner.add(new MappedRegion(registers, () => closeEach(mappings), owner));
  } catch (error) {
    closeEach(mappings);
    throw error;
  }
}

function mapArea(
  process: UserProcess,
  device: DeviceFile,
  start: number,
  { offset, size }: MappableArea,
  mappings: Closeable[],
): MappedArea {
  const { thread } = process;
  const fd = device.fd('mmap');
  const pages = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
  const at = BigInt(start) + BigInt(offset);
  const result = thread.mmap(virtualAddress(0n), pages, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
  const address: VirtualAddress = mapped(result, device.path);
  mappings.push({ close: () => checkResult(thread.munmap(address, pages), 'munmap') });
  return { offset, registers: process.mmio(address, size) };
}
