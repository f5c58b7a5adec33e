import type { Cpu } from '../machine/cpu.ts';

/**
 * spin_lock_irqsave(): one processor at a time, and no interrupts on it meanwhile. Taken as
 * `while (!lock.tryAcquire(cpu)) yield CPU_RELAX;`, without a generator of its own: the lock is nearly always free.
 */
export class SpinLock {
  #owner: Cpu | undefined = undefined;

  tryAcquire(cpu: Cpu): boolean {
    if (this.#owner !== undefined) return this.#isHeld(cpu);
    this.#owner = cpu;
    cpu.irqsOff++;
    cpu.cpus.locks++;
    return true;
  }

  release(cpu: Cpu): void {
    if (this.#owner !== cpu) throw notHeld();
    this.#owner = undefined;
    cpu.irqsOff--;
    cpu.cpus.locks--;
  }

  #isHeld(cpu: Cpu): false {
    if (this.#owner === cpu) throw new Error('BUG: spinlock recursion: the processor that spins holds the lock');
    return false;
  }
}

function notHeld(): Error {
  return new Error('BUG: a processor released a spinlock that it does not hold');
}
