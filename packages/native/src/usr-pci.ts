import { ENOSYS, O_RDWR, type VirtualAddress } from '@usrdrv/core';
import type { Addon } from './addon.ts';
import { CONTROL_DEVICE, type KernelInterface } from './kernel-interface.ts';

/** In place of the descriptor: the system calls of a patched kernel. */
const BY_SYSTEM_CALLS = -1;

/** The usr_pci calls, whichever way this kernel has them. */
export class UsrPci {
  readonly #addon: Addon;
  readonly #via: KernelInterface;
  /** Of {@link CONTROL_DEVICE}, from the first call on. */
  #control: number | undefined;

  constructor(addon: Addon, via: KernelInterface) {
    this.#addon = addon;
    this.#via = via;
  }

  open(bus: number, slot: number, fn: number, dmaMask: bigint, domain: number): number {
    return this.#call((via) => this.#addon.usrPciOpen(via, bus, slot, fn, dmaMask, domain));
  }

  getConsistent(fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): number {
    return this.#call((via) => this.#addon.usrPciGetConsistent(via, fd, size, vaddrp, dmaaddrp));
  }

  mmap(fd: number, mp: VirtualAddress): number {
    return this.#call((via) => this.#addon.usrPciMmap(via, fd, mp));
  }

  munmap(fd: number, mp: VirtualAddress): number {
    return this.#call((via) => this.#addon.usrPciMunmap(via, fd, mp));
  }

  irqVectors(fd: number, min: number, max: number, irqs: VirtualAddress): number {
    return this.#call((via) => this.#addon.usrPciIrqVectors(via, fd, min, max, irqs));
  }

  close(): void {
    if (this.#control !== undefined) this.#addon.close(this.#control);
    this.#control = undefined;
  }

  #call(make: (via: number) => number): number {
    if (this.#via === 'none') return -ENOSYS;
    if (this.#via === 'system-calls') return make(BY_SYSTEM_CALLS);
    if (this.#control === undefined) {
      const fd = this.#addon.open(CONTROL_DEVICE, O_RDWR);
      if (fd < 0) return fd;
      this.#control = fd;
    }
    return make(this.#control);
  }
}
