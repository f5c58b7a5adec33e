import {
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENOENT,
  type KernelProfile,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from '@usrdrv/core';
import { failed, LEFT_OUT, type Prediction } from './prediction.ts';
import { ARENA_PAGES, ARENAS, type CallOf, MAPPINGS } from './program.ts';

/** U: what the rules say of the four calls, and of the memory that they are given. */
export class ModelPci {
  /** U1, U2: whether the device is open, which is when it is a bus master. */
  busMaster = false;
  /** The protection of each page of each arena; undefined where nothing is mapped. */
  readonly #arenas: (number | undefined)[][] = Array.from({ length: ARENAS }, () => []);
  /** U5: the mappings that exist, by the number that the program remembers them by; and how many there are in all. */
  readonly #remembered = new Set<number>();
  #mappings = 0;

  constructor(private readonly profile: KernelProfile) {
    for (let page = 0; page < ARENA_PAGES; page++) this.#pages(0)[page] = PROT_READ | PROT_WRITE;
  }

  mmap({ arena, length, prot }: CallOf<'mmap'>): Prediction {
    if (length > ARENA_PAGES * PAGE_SIZE) return LEFT_OUT;
    if (length <= 0) return failed(EINVAL);
    for (let page = 0; page * PAGE_SIZE < length; page++) this.#pages(arena)[page] = prot;
    return '0';
  }

  munmap({ arena, offset, length }: CallOf<'munmap'>): Prediction {
    if (offset % PAGE_SIZE !== 0 || length <= 0) return failed(EINVAL);
    if (offset + length > ARENA_PAGES * PAGE_SIZE) return LEFT_OUT;
    for (let at = offset; at < offset + length; at += PAGE_SIZE) this.#pages(arena)[at / PAGE_SIZE] = undefined;
    return '0';
  }

  /** The error of usr_pci_open, or undefined where it succeeds. */
  open({ device, mask }: CallOf<'usr_pci_open'>): string | undefined {
    if (device === 'missing') return failed(ENOENT);
    if (this.busMaster) return failed(EBUSY);
    if (mask === '1 bit') return failed(EIO);
    this.busMaster = true;
    return undefined;
  }

  /** U2: the last descriptor is closed. */
  release(): void {
    this.busMaster = false;
    this.#remembered.clear();
    this.#mappings = 0;
  }

  getConsistent(isPci: boolean, { size, vaddrp, dmaaddrp }: CallOf<'usr_pci_get_consistent'>): Prediction {
    if (!isPci || size !== PAGE_SIZE) return failed(EINVAL);
    return vaddrp === 'ok' && dmaaddrp === 'ok' ? '0: zeroed' : failed(EFAULT);
  }

  map(isPci: boolean, call: CallOf<'usr_pci_mmap'>): Prediction {
    const { mp, size, nents, direction, sglist, to } = call;
    if (!isPci) return failed(EINVAL);
    if (mp !== 'ok') return failed(EFAULT);
    if (direction !== DMA_BIDIRECTIONAL && direction !== DMA_TO_DEVICE && direction !== DMA_FROM_DEVICE) {
      return failed(EINVAL);
    }
    if (size === 0 || nents < Math.floor(size / PAGE_SIZE) + 2) return failed(EINVAL);
    const pinned = this.#pinned(call);
    if (pinned !== '0') return pinned;
    if (sglist !== 'ok') return failed(EFAULT);
    this.#remembered.add(to % MAPPINGS);
    this.#mappings++;
    return `0: ${size} bytes`;
  }

  unmap(isPci: boolean, { mp, mapping }: CallOf<'usr_pci_munmap'>): Prediction {
    if (!isPci) return failed(EINVAL);
    if (mp !== 'ok') return failed(EFAULT);
    if (!this.#remembered.delete(mapping % MAPPINGS)) {
      // UD1: with anything mapped, the 2005 kernel unmaps that instead.
      return this.#mappings > 0 && this.profile === 'chubb-2.6.11' ? LEFT_OUT : failed(EINVAL);
    }
    this.#mappings--;
    return '0';
  }

  /** Whether the pages of the region can be pinned: `0`, or the error. */
  #pinned({ arena, offset, size, direction }: CallOf<'usr_pci_mmap'>): Prediction {
    if (typeof arena !== 'number') return failed(EFAULT);
    const needed = direction === DMA_TO_DEVICE ? PROT_READ : PROT_READ | PROT_WRITE;
    const first = Math.floor(offset / PAGE_SIZE);
    const pages = Math.ceil(((offset % PAGE_SIZE) + size) / PAGE_SIZE);
    let found = 0;
    while (found < pages && ((this.#pages(arena)[first + found] ?? 0) & needed) === needed) found++;
    if (found === pages) return '0';
    // UD2: 2005 looks for as many pages as the size has whole ones, and runs into a BUG where one more is needed.
    return this.profile === 'chubb-2.6.11' && found > 0 && found >= Math.floor(size / PAGE_SIZE)
      ? LEFT_OUT
      : failed(EFAULT);
  }

  #pages(arena: number): (number | undefined)[] {
    return this.#arenas[arena % ARENAS] ?? [];
  }
}
