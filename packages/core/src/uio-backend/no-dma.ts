import type { ConsistentMemory, DmaMapper, DmaMapping, UserMemory } from '../dma.ts';
import { SystemError } from '../errors.ts';
import { closed } from '../open-resources.ts';
import { checkSize } from '../user-mode-backend/dma-memory.ts';

/** For {@link Supports.reasons}. The usr_pci calls do not help: a function that a driver has is EBUSY for them (U1). */
export const NO_DMA = 'UIO gives no bus addresses, and a function that has a UIO node is EBUSY for usr_pci_open';
const REMEDY = 'bind the function to vfio-pci, or let the usrdrv backend have it';

/** The mapper of a device on a backend without DMA ({@link Supports.dma}). */
export class NoDma implements DmaMapper {
  readonly #path: string;
  #closed = false;

  constructor(path: string) {
    this.#path = path;
  }

  allocConsistent(size: number): ConsistentMemory {
    return this.#refuse(size);
  }

  allocUser(size: number): UserMemory {
    return this.#refuse(size);
  }

  map(): DmaMapping {
    return this.#refuse(1);
  }

  close(): void {
    this.#closed = true;
  }

  #refuse(size: number): never {
    checkSize(size);
    if (this.#closed) throw closed('dma', this.#path);
    throw new SystemError('ENOSYS', 'dma', { path: this.#path, detail: `${NO_DMA}: ${REMEDY}` });
  }
}
