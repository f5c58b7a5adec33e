import type { Cpu } from '../machine/cpu.ts';
import { CPU_RELAX, type Steps } from './step.ts';

/**
 * spin_lock_irqsave(): one processor at a time, and no interrupts on it meanwhile. Taken as
 * `if (!lock.tryAcquire(cpu)) yield* lock.spin(cpu);`, so that the free lock, the usual case, costs no generator.
 */
export class SpinLock {
  #owner: Cpu | undefined = undefined;

  tryAcquire(cpu: Cpu): boolean {
    if (this.#owner !== undefined) return false;
    this.#owner = cpu;
    cpu.irqsOff++;
    cpu.cpus.locks++;
    return true;
  }

  *spin(cpu: Cpu): Steps<void> {
    if (this.#owner === cpu) throw new Error('BUG: spinlock recursion: the processor that spins holds the lock');
    while (!this.tryAcquire(cpu)) yield CPU_RELAX;
  }

  release(cpu: Cpu): void {
    if (this.#owner !== cpu) throw new Error('BUG: a processor released a spinlock that it does not hold');
    this.#owner = undefined;
    cpu.irqsOff--;
    cpu.cpus.locks--;
  }
}
