import {
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  type MaySleep,
  O_RDONLY,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import type { Thread } from './syscalls.ts';

export const PROFILES: readonly KernelProfile[] = ['chubb-2.6.11', 'usrdrv-6.1'];

/** A level line that nothing is plugged into. */
const LINE = 16;
export const IRQ_FILE = `/proc/irq/${LINE}/irq`;

/** What the tests of the kernel start from: a machine without devices, whose lines the test itself holds. */
export class Setup {
  readonly machine: Machine;
  readonly thread: Thread;
  /** A page of the process's memory. */
  readonly buf: VirtualAddress;

  constructor(profile: KernelProfile, o: MachineOptions = {}) {
    this.machine = new Machine({ comm: 'driver', ...o, kernel: profile });
    this.thread = this.machine.kernel.process.thread;
    this.buf = memory(this.thread);
  }

  get kernel(): Machine['kernel'] {
    return this.machine.kernel;
  }

  open(flags = O_RDONLY, path = IRQ_FILE): number {
    return this.thread.open(path, flags);
  }

  read(fd: number, thread = this.thread): MaySleep {
    return thread.read(fd, this.buf, 4);
  }

  /** The count that the last read put into memory. */
  get count(): number {
    return new DataView(this.kernel.process.bytes(this.buf, 4).slice().buffer).getInt32(0, true);
  }

  raise(): void {
    this.machine.line(LINE).raise(this);
    this.machine.kick();
  }

  lower(): void {
    this.machine.line(LINE).lower(this);
  }

  /** One interrupt, whose cause is gone at once. */
  interrupt(): void {
    this.raise();
    this.lower();
  }

  /** Whether a call still sleeps after a millisecond. */
  async sleeps(call: MaySleep): Promise<boolean> {
    const awake = this.kernel.clock.sleep(1).then(() => undefined);
    return (await Promise.race([call, awake])) === undefined;
  }

  get masked(): boolean {
    return this.machine.chip.isMasked(LINE);
  }
}

/** A page of fresh memory. */
export function memory(thread: Thread, near = virtualAddress(0)): VirtualAddress {
  const address = thread.mmap(near, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (typeof address === 'number') throw new Error(`mmap: ${address}`);
  return address;
}
