import { readFileSync, readlinkSync } from 'node:fs';
import { type MmioRegion, SystemError, type UserProcess, type VirtualAddress } from '@usrdrv/core';
import type { Addon } from './addon.ts';
import type { KernelInterface } from './kernel-interface.ts';
import { LinuxMmioRegion } from './linux-mmio-region.ts';
import { LinuxThread } from './linux-thread.ts';
import type { UsrPci } from './usr-pci.ts';

/** This process, with the descriptors and the memory of the JavaScript thread that made it. */
export class LinuxProcess implements UserProcess {
  readonly pid: number = process.pid;
  readonly thread: LinuxThread;
  readonly #addon: Addon;

  constructor(addon: Addon, via: KernelInterface, usrPci: UsrPci) {
    this.#addon = addon;
    this.thread = new LinuxThread(this, addon, via, usrPci);
  }

  /** The name of the thread, which a claimed line bears (P6). */
  get comm(): string {
    return readFileSync('/proc/thread-self/comm', 'utf8').trimEnd();
  }

  /** The thread's number in the kernel, from /proc/thread-self: `PID/task/TID`. */
  get tid(): number {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  }

  /**
   * As the contract has it. Memory is what MAP_ANONYMOUS and usr_pci_get_consistent gave: a view of a file would fault when
   * the file shrinks. Its ArrayBuffer is detached by munmap, also of a part of the mapping; the rest gets a new one.
   * @throws SystemError also ENOMEM, for a mapping of 4 GiB and more
   */
  bytes(address: VirtualAddress, length: number): Uint8Array {
    checkLength(length);
    const bytes = this.#addon.bytes(address, length);
    if (typeof bytes === 'number') throw failed(bytes, 'bytes', address, length);
    return bytes;
  }

  /** As the contract has it; of any mapping. Once the memory is unmapped each access is EBADF. */
  mmio(address: VirtualAddress, length: number): MmioRegion {
    checkLength(length);
    const handle = this.#addon.openMmio(address, length);
    if (handle < 0) throw failed(handle, 'mmio', address, length);
    return new LinuxMmioRegion(this.#addon, handle, length);
  }
}

function checkLength(length: number): void {
  if (Number.isSafeInteger(length) && length >= 0) return;
  throw new RangeError(`length must be an integer >= 0, not ${String(length)}`);
}

function failed(result: number, syscall: string, address: VirtualAddress, length: number): SystemError {
  const { code } = SystemError.fromResult(result, syscall);
  const where = typeof address === 'bigint' ? `0x${address.toString(16)}` : String(address);
  return new SystemError(code, syscall, { detail: `${length} bytes at ${where}` });
}
