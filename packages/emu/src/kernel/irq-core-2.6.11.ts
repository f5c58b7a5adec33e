import { EBUSY, EINVAL, ENOMEM, ENOSYS } from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { IrqChip, IrqFabric } from '../machine/irq-chip.ts';
import {
  type Flow,
  handleIrqEvent,
  hasHandler,
  IRQ_DISABLED,
  IRQ_INPROGRESS,
  IRQ_PENDING,
  IRQ_REPLAY,
  IRQ_WAITING,
  IRQF_SHARED,
  type IrqCore,
  IrqDesc,
  type IrqFlow,
  type IrqRequest,
  type IrqReturn,
  noteInterrupt,
  stop,
} from './irq-desc.ts';

/** Interrupt numbers that the kernel has descriptors for; the ones without a controller cannot be requested. */
const NR_IRQS = 224;

const I5_RUN = stop('I5.run');
const I5_RAN = stop('I5.ran');

/**
 * The interrupt core of Linux 2.6.11 (I1 to I8). What happens under the descriptor's lock there is one step here, so the
 * lock itself does not appear.
 */
export class IrqCore2611 implements IrqCore, IrqFlow {
  readonly warnings: string[] = [];
  readonly run = I5_RUN;
  readonly ran = I5_RAN;
  readonly #descs: IrqDesc[];

  constructor(
    chip: IrqChip,
    private readonly fabric: IrqFabric,
  ) {
    this.#descs = [];
    for (let irq = 0; irq < NR_IRQS; irq++) {
      if (chip.has(irq)) this.#descs[irq] = new IrqDesc(irq, chip, fabric.cpus.all.length);
    }
  }

  desc(irq: number): IrqDesc | undefined {
    return this.#descs[irq];
  }

  *descs(): Iterable<IrqDesc> {
    for (const desc of this.#descs) if (desc !== undefined) yield desc;
  }

  request(irq: number, action: IrqRequest): number {
    if ((action.flags & IRQF_SHARED) !== 0 && action.devId === undefined) return -EINVAL;
    if (!Number.isInteger(irq) || irq < 0 || irq >= NR_IRQS) return -EINVAL;
    if (!hasHandler(action)) return -EINVAL;
    if (this.fabric.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const desc = this.#descs[irq];
    if (desc === undefined) return -ENOSYS;
    const first = desc.actions[0];
    if (first !== undefined) {
      if ((first.flags & action.flags & IRQF_SHARED) === 0) return -EBUSY;
      desc.actions.push(action);
      return 0;
    }
    desc.actions.push(action);
    // I2: PENDING and REPLAY are kept from whatever happened before.
    desc.depth = 0;
    desc.status &= ~(IRQ_DISABLED | IRQ_WAITING | IRQ_INPROGRESS);
    desc.chip.unmask(irq);
    return 0;
  }

  free(irq: number, devId: object | undefined): void {
    const desc = this.#descs[irq];
    if (desc?.unlink(devId) !== true) {
      this.#warn(irq, `Trying to free free IRQ${irq}`);
      return;
    }
    if (desc.actions.length === 0) {
      desc.status |= IRQ_DISABLED;
      if (desc.level || desc.chip.name === 'XT-PIC') desc.chip.mask(irq);
    }
  }

  inProgress(irq: number): boolean {
    return ((this.#descs[irq]?.status ?? 0) & IRQ_INPROGRESS) !== 0;
  }

  disableNosync(irq: number): void {
    const desc = this.#descs[irq];
    if (desc === undefined) return;
    if (desc.depth++ > 0) return;
    desc.status |= IRQ_DISABLED;
    if (!edgeIoApic(desc)) desc.chip.mask(irq);
  }

  enable(irq: number): void {
    const desc = this.#descs[irq];
    if (desc === undefined) return;
    if (desc.depth === 0) {
      this.#warn(irq, `enable_irq(${irq}) unbalanced`);
      return;
    }
    if (desc.depth === 1) {
      desc.status &= ~IRQ_DISABLED;
      if ((desc.status & (IRQ_PENDING | IRQ_REPLAY)) === IRQ_PENDING) {
        desc.status |= IRQ_REPLAY;
        // Only the I/O APIC's interrupts can be sent again; the 8259s deliver what their own registers kept.
        if (desc.chip.name === 'IO-APIC') desc.chip.retrigger(irq);
      }
      desc.chip.unmask(irq);
    }
    desc.depth--;
  }

  handle(cpu: Cpu, irq: number): Flow | undefined {
    const desc = this.#descs[irq];
    if (desc === undefined) return undefined;
    desc.counts[cpu.id] = (desc.counts[cpu.id] ?? 0) + 1;
    ack(desc);
    desc.status = (desc.status & ~(IRQ_REPLAY | IRQ_WAITING)) | IRQ_PENDING;
    if ((desc.status & (IRQ_DISABLED | IRQ_INPROGRESS)) === 0 && desc.actions.length > 0) {
      return handleIrqEvent(this, cpu, desc);
    }
    end(desc);
    return undefined;
  }

  start(desc: IrqDesc): void {
    desc.status = (desc.status & ~IRQ_PENDING) | IRQ_INPROGRESS;
  }

  end(desc: IrqDesc, result: IrqReturn): boolean {
    if (noteInterrupt(desc, result)) this.#disableSpurious(desc);
    // I5: whether the line was disabled meanwhile is not looked at (D6).
    if ((desc.status & IRQ_PENDING) !== 0) return true;
    desc.status &= ~IRQ_INPROGRESS;
    end(desc);
    return false;
  }

  forgetEdge(irq: number): void {
    const desc = this.#descs[irq];
    if (desc !== undefined) desc.status &= ~IRQ_PENDING;
  }

  isSent(irq: number): boolean {
    return this.fabric.cpus.isSent(irq);
  }

  allocMsi(): undefined {
    return undefined;
  }

  freeMsi(): void {}

  #disableSpurious(desc: IrqDesc): void {
    this.#warn(desc.irq, `irq ${desc.irq}: nobody cared!`);
    desc.status |= IRQ_DISABLED;
    if (!edgeIoApic(desc)) desc.chip.mask(desc.irq);
  }

  #warn(irq: number, text: string): void {
    this.warnings.push(text);
    const { trace } = this.fabric;
    if (trace.on) trace.emit('warning', irq, 'kernel', text);
  }
}

/** I8: an edge pin of an I/O APIC is not masked by disabling it. */
function edgeIoApic(desc: IrqDesc): boolean {
  return desc.chip.name === 'IO-APIC' && !desc.level;
}

/** I8, what each controller does when an interrupt is taken. */
function ack(desc: IrqDesc): void {
  if (desc.chip.name === 'XT-PIC') {
    desc.chip.mask(desc.irq);
    desc.chip.eoi(desc.irq);
  } else if (!desc.level) {
    if ((desc.status & (IRQ_PENDING | IRQ_DISABLED)) === (IRQ_PENDING | IRQ_DISABLED)) desc.chip.mask(desc.irq);
    desc.chip.eoi(desc.irq);
  }
}

/** I8, what each controller does when the handlers have run. */
function end(desc: IrqDesc): void {
  if (desc.chip.name === 'XT-PIC') {
    if ((desc.status & (IRQ_DISABLED | IRQ_INPROGRESS)) === 0 && desc.actions.length > 0) desc.chip.unmask(desc.irq);
  } else if (desc.level) {
    desc.chip.eoi(desc.irq);
  }
}
