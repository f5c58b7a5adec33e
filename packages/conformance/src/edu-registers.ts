import {
  type BusAddress,
  MAP_SHARED,
  type MmioRegion,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Context } from './context.ts';

/** Registers of the edu device (QEMU: docs/specs/edu.rst), as offsets in BAR 0. */
export const EDU_ID = 0x00;
export const EDU_LIVENESS = 0x04;
export const EDU_FACTORIAL = 0x08;
export const EDU_INTERRUPT_STATUS = 0x24;
export const EDU_DMA_SOURCE = 0x80;
const EDU_DMA_DESTINATION = 0x88;
const EDU_DMA_COUNT = 0x90;
const EDU_DMA_COMMAND = 0x98;
/** Where the device's own 4 KiB are, as its DMA engine sees them. */
const EDU_BUFFER = 0x40000;
/** Bytes of the buffer that a transfer may touch: QEMU up to 7.2 dies of one that reaches the last of the 4096. */
export const EDU_BLOCK = 4095;
const EDU_BAR_LENGTH = 0x100000;

const START = 1;
const FROM_DEVICE = 2;

/** The device's registers, reached as a program does (S3): through a mapping of /dev/mem. */
export function eduRegisters(t: Context): MmioRegion {
  return t.process.mmio(mapEdu(t), EDU_BAR_LENGTH);
}

/** Maps the device's registers into the process. */
export function mapEdu(t: Context): VirtualAddress {
  const mem = t.succeeds(t.thread.open('/dev/mem', O_RDWR), 'open /dev/mem');
  const prot = PROT_READ | PROT_WRITE;
  const address = t.thread.mmap(virtualAddress(0), EDU_BAR_LENGTH, prot, MAP_SHARED, mem, t.edu.bar0);
  t.succeeds(address, 'mmap of /dev/mem');
  t.result(t.thread.close(mem), 0, 'close');
  return virtualAddress(address);
}

/** Lets the device copy from memory to its buffer (from `offset` on), and waits until it has. */
export async function deviceReads(t: Context, edu: MmioRegion, from: BusAddress, length: number, offset = 0) {
  await dma(t, edu, from, BigInt(EDU_BUFFER + offset), length, START);
}

/** Lets the device copy from its buffer (from `offset` on) to memory, and waits until it has. */
export async function deviceWrites(t: Context, edu: MmioRegion, to: BusAddress, length: number, offset = 0) {
  await dma(t, edu, BigInt(EDU_BUFFER + offset), to, length, START | FROM_DEVICE);
}

async function dma(t: Context, edu: MmioRegion, from: bigint, to: bigint, length: number, command: number) {
  edu.write64(EDU_DMA_SOURCE, from);
  edu.write64(EDU_DMA_DESTINATION, to);
  edu.write64(EDU_DMA_COUNT, BigInt(length));
  edu.write64(EDU_DMA_COMMAND, BigInt(command));
  for (let waits = 0; (edu.read32(EDU_DMA_COMMAND) & START) !== 0; waits++) {
    t.ok(waits < 20, 'the transfer ends within 2 s');
    await t.kernel.clock.sleep(100);
  }
}
