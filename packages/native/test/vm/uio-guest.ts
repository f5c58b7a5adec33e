import assert from 'node:assert/strict';
import {
  type Backend,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  type PciDevice,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { DMA_MASK } from '@usrdrv/drivers/edu';
import { LinuxKernel, uioBackend } from '@usrdrv/native';
import { ACKNOWLEDGE } from './edu-registers.ts';

export const kernel = new LinuxKernel();
/** The edu device that has a UIO node. */
export const address = boundEdu();
const name = kernel.files.readdirSync(`/sys/bus/pci/devices/${address}/uio`)[0];
export const node = `/dev/${name}`;
/** A page, for reads and writes of the node. */
export const buf = page();
export const count = new DataView(kernel.process.bytes(buf, 4).buffer);

/** The device, acknowledged; the backend is closed by the end of the process. */
export function open(backend: Backend = uioBackend()): PciDevice {
  const device = backend.pci.open(address, { dmaMask: DMA_MASK });
  device.bar(0).write32(ACKNOWLEDGE, 0xffff_ffff);
  return device;
}

/** The node's count of all events. */
export function total(): number {
  return Number(new TextDecoder().decode(kernel.files.readFileSync(`/sys/class/uio/${name}/event`)));
}

export function masked({ config }: PciDevice): boolean {
  return (config.read16(PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) !== 0;
}

function boundEdu() {
  using backend = uioBackend();
  const found = [...backend.pci.scan()].find(
    (each) =>
      each.vendorId === 0x1234 &&
      each.deviceId === 0x11e8 &&
      kernel.files.existsSync(`/sys/bus/pci/devices/${each.address}/uio`),
  );
  if (found === undefined) throw new Error('no edu device has a UIO node');
  return found.address;
}

function page(): VirtualAddress {
  const [prot, flags] = [PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS];
  const at = kernel.process.thread.mmap(virtualAddress(0n), PAGE_SIZE, prot, flags, -1, 0n);
  assert(typeof at === 'bigint');
  return at;
}
