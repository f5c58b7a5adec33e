import type { Cpu } from '../machine/cpu.ts';
import type { IrqReturn } from './irq-desc.ts';
import type { Steps } from './step.ts';

/** Device memory that user space may map (struct uio_mem, of the type UIO_MEM_PHYS). */
export interface UioMem {
  readonly name: string;
  /** Physical address; mainline maps it only where it starts a page (N6). */
  readonly addr: number;
  /** Where in the first page the registers start; user space has to add it. */
  readonly offs?: number;
  /** Bytes; 0 is no map. */
  readonly size: number;
}

/** I/O ports of the device (struct uio_port). This machine has no port space: who reads one gets all ones. */
export interface UioPort {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

/** N6: as many maps as a device has at most, and as many ranges of ports. */
export const MAX_UIO_MAPS = 5;
export const MAX_UIO_PORT_REGIONS = 5;

/**
 * What a stub driver in the kernel registers (struct uio_info). IIO's record is the same with one region: ports where it has
 * no memory, and `irqcontrol` is called event_write there (S5).
 */
export interface UioInfo {
  readonly name: string;
  readonly version: string;
  readonly mem: readonly UioMem[];
  readonly port?: readonly UioPort[];
  /** The line; absent for a device without interrupts. */
  readonly irq?: number;
  /** IRQF_SHARED or 0. */
  readonly irqFlags?: number;
  /** Acknowledges or masks the interrupt where it is the device's. Only what it says is IRQ_HANDLED is an event. */
  handler?(cpu: Cpu, irq: number): Steps<IrqReturn>;
  /** What a write of an int to the node does: 0 or -errno. By custom 1 enables the interrupt and 0 disables it. */
  irqcontrol?(irqOn: number): number;
  /** A file was opened: 0 or -errno. */
  open?(): number;
  /** A file was released: each, not the last only. */
  release?(): void;
}
