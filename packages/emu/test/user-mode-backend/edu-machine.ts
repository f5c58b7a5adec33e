import { type DmaDirection, type KernelProfile, type PciDevice, SystemError } from '@usrdrv/core';
import { expect } from 'vitest';
import { EduDevice, type EmulatedBackend, emulated } from '../../src/index.ts';

export const PROFILES: KernelProfile[] = ['usrdrv-6.1', 'chubb-2.6.11'];
export const EDU = '0000:00:04.0';
export const DMA_MASK = 0xfff_ffffn;

/** A machine with an edu in its slot, and what the tests do with it. */
export class EduMachine implements Disposable {
  readonly edu = new EduDevice();
  readonly backend: EmulatedBackend;

  constructor(kernel: KernelProfile = 'usrdrv-6.1') {
    this.backend = emulated({ kernel, devices: [this.edu] });
  }

  open(): PciDevice {
    return this.backend.pci.open(EDU, { dmaMask: DMA_MASK });
  }

  /** The device raises its line and keeps it there, until it is acknowledged. */
  raise(): void {
    this.edu.raise(1);
    this.backend.machine.kick();
  }

  acknowledge(device: PciDevice): void {
    device.bar(0).write32(0x64, 0xffff_ffff);
  }

  /** Where BAR 0 is. */
  get registers(): bigint {
    const [start = ''] = this.text(`/sys/bus/pci/devices/${EDU}/resource`).split(' ');
    return BigInt(start);
  }

  text(path: string): string {
    return new TextDecoder().decode(this.backend.machine.kernel.files.readFileSync(path));
  }

  [Symbol.dispose](): void {
    this.backend.close();
  }
}

/** The code of the SystemError that it throws; undefined where it throws none. */
export function code(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
  return undefined;
}

/** What the promise rejects with. */
export function caught(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.fail(`resolved with ${String(value)}`),
    (error: unknown) => error,
  );
}

/** edu's DMA between bus memory and its buffer, awaited by its interrupt. */
export async function transfer(device: PciDevice, bus: bigint, length: number, direction: DmaDirection): Promise<void> {
  const out = direction === 'to-device';
  using irq = device.irq();
  const registers = device.bar(0);
  registers.write64(0x80, out ? bus : 0x40000n);
  registers.write64(0x88, out ? 0x40000n : bus);
  registers.write64(0x90, BigInt(length));
  registers.write64(0x98, out ? 5n : 7n);
  await irq.read();
  registers.write32(0x64, 0xffff_ffff);
}
