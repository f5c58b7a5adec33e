import { type VirtualAddress, virtualAddress } from '../address.ts';
import { checkResult } from '../errors.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE, type UserProcess } from '../user-mode-kernel.ts';

const NULL = virtualAddress(0n);
/** What `bytes` is once the memory has been given back. */
export const NO_BYTES = new Uint8Array(0);

/**
 * Whole pages of anonymous memory of the process, zeroed: what is handed to the kernel to be filled in, and what is mapped
 * for devices. Nothing a system call or a device writes may live on JavaScript's own heap, which moves.
 */
export class AnonymousMemory {
  readonly address: VirtualAddress;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly #process: UserProcess;

  /** @throws SystemError ENOMEM */
  constructor(process: UserProcess, size: number) {
    this.length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    const address = process.thread.mmap(NULL, this.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    this.address = mapped(address);
    this.#process = process;
    try {
      this.bytes = process.bytes(this.address, this.length);
    } catch (error) {
      process.thread.munmap(this.address, this.length);
      throw error;
    }
  }

  /** The same bytes for reading and writing the members of structures. */
  view(): DataView {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset, this.length);
  }

  /** Gives the pages back; the bytes are detached. */
  close(): void {
    checkResult(this.#process.thread.munmap(this.address, this.length), 'munmap');
  }
}

/**
 * An mmap(2) result: the address where it is one.
 * @throws SystemError the kernel's
 */
export function mapped(result: VirtualAddress | number, path?: string): VirtualAddress {
  return typeof result === 'number' ? virtualAddress(checkResult(result, 'mmap', path)) : result;
}

/**
 * The result of a call that does not sleep: on a file that has no wait, or with O_NONBLOCK.
 * @throws Error where it slept all the same, against the contract
 */
export function immediate(result: number | Promise<number>, syscall: string): number {
  if (typeof result !== 'number') throw new Error(`${syscall} slept where it must not`);
  return result;
}
