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
import { type Closeable, closed, closeEach, mapped, type OpenResources } from '@usrdrv/core/backend-parts';
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
): VfioBarRegion {
  const { size, offset, mappable } = device.region(index);
  if (size === 0) throw new SystemError('ENODEV', 'bar', { path: device.path, detail: `nothing behind BAR ${index}` });
  const mappings: Closeable[] = [];
  try {
    const areas = mappable.map((area) => mapArea(process, device, offset, area, mappings));
    const [first] = areas;
    const whole = first !== undefined && first.offset === 0 && first.registers.length === size;
    const registers = whole ? first.registers : new PartlyMappedRegisters(device, offset, size, areas);
    return owner.add(new VfioBarRegion(registers, () => closeEach(mappings), owner));
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

/** The registers of a BAR, until it is closed (EBADF from then on), or its device removed (ENODEV). */
export class VfioBarRegion implements MmioRegion {
  readonly length: number;
  #registers: MmioRegion;
  readonly #unmap: () => void;
  readonly #owner: OpenResources<MmioRegion>;

  constructor(registers: MmioRegion, unmap: () => void, owner: OpenResources<MmioRegion>) {
    this.length = registers.length;
    this.#registers = registers;
    this.#unmap = unmap;
    this.#owner = owner;
  }

  read8(offset: number): number {
    return this.#registers.read8(offset);
  }

  read16(offset: number): number {
    return this.#registers.read16(offset);
  }

  read32(offset: number): number {
    return this.#registers.read32(offset);
  }

  read64(offset: number): bigint {
    return this.#registers.read64(offset);
  }

  write8(offset: number, value: number): void {
    this.#registers.write8(offset, value);
  }

  write16(offset: number, value: number): void {
    this.#registers.write16(offset, value);
  }

  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value);
  }

  write64(offset: number, value: bigint): void {
    this.#registers.write64(offset, value);
  }

  close(): void {
    this.#owner.delete(this);
    this.#replace(CLOSED);
  }

  /** The device is given back: nothing of it stays mapped. */
  remove(): void {
    if (this.#registers !== CLOSED) this.#replace(REMOVED);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #replace(registers: MmioRegion): void {
    const before = this.#registers;
    this.#registers = registers;
    if (before === CLOSED || before === REMOVED) return;
    before.close();
    this.#unmap();
  }
}

/** What stands in for registers that are there no more, so that those that are there are asked nothing besides. */
function refusing(refuse: () => never): MmioRegion {
  const access = { read8: refuse, read16: refuse, read32: refuse, read64: refuse };
  const store = { write8: refuse, write16: refuse, write32: refuse, write64: refuse };
  return { length: 0, ...access, ...store, close: () => undefined, [Symbol.dispose]: () => undefined };
}

const CLOSED = refusing(() => {
  throw closed('mmio');
});

const REMOVED = refusing(() => {
  throw new SystemError('ENODEV', 'mmio', { detail: 'the device was removed' });
});
