import type { Oracle } from '../explore/oracle.ts';
import type { TraceLog } from '../trace/log.ts';
import type { Cpu, Cpus } from './cpu.ts';

/** How a pin asks: by being held, or by going up. */
export type Trigger = 'level' | 'edge';

/** An interrupt controller as its driver in the kernel sees it. A pin's number is the kernel's interrupt number. */
export interface IrqChip {
  /** What /proc/interrupts calls it. */
  readonly name: string;
  trigger(irq: number): Trigger;
  /** Whether something is wired to the pin, or could be. */
  has(irq: number): boolean;
  isMasked(irq: number): boolean;
  mask(irq: number): void;
  unmask(irq: number): void;
  /** The processor has taken the interrupt, and is done with it as far as the controller is concerned. */
  eoi(irq: number): void;
  /** Makes the interrupt happen again, although no device asks for it. */
  retrigger(irq: number): void;
}

/** The device side of a controller: its pins. */
export interface PinnedIrqChip extends IrqChip {
  setPin(irq: number, asserted: boolean): void;
}

/** What every controller is built from: where interrupts go, what may go wrong, where it is written down. */
export interface IrqFabric {
  readonly cpus: Cpus;
  readonly oracle: Oracle;
  readonly trace: TraceLog;
}

/** The processor that takes the next interrupt of a controller that may choose. */
export function route({ cpus, oracle }: IrqFabric): Cpu {
  return cpus.all.length === 1 ? cpus.boot : cpus.at(oracle.choose(cpus.all.length, 'interrupt.route'));
}
