import { CPU_RELAX, type Steps } from './step.ts';

/** The lock of an address space (mmap_sem, mmap_lock): who changes or walks its mappings, one at a time. */
export class MmapLock {
  #held = false;

  tryAcquire(): boolean {
    if (this.#held) return false;
    this.#held = true;
    return true;
  }

  *acquire(): Steps<void> {
    while (!this.tryAcquire()) yield CPU_RELAX;
  }

  release(): void {
    if (!this.#held) throw new Error('BUG: the lock of an address space was released, and not held');
    this.#held = false;
  }
}
