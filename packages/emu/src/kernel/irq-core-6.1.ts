import { EBUSY, EINVAL, ENOMEM } from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { IrqChip, IrqFabric } from '../machine/irq-chip.ts';
import type { MsiController } from '../machine/msi.ts';
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

const FIRST_MSI = 24;
const LAST_MSI = 255;

const HANDLE_IRQ_EVENT = stop('handle_irq_event');
const HANDLED_IRQ_EVENT = stop('handle_irq_event.done');

/** The interrupt core of Linux 6.1, where it differs (I9): disabling is lazy, the re-run loop looks, stale levels are dropped. */
export class IrqCore61 implements IrqCore, IrqFlow {
  readonly warnings: string[] = [];
  readonly run = HANDLE_IRQ_EVENT;
  readonly ran = HANDLED_IRQ_EVENT;
  readonly #descs: IrqDesc[] = [];

  constructor(
    chip: IrqChip,
    private readonly msi: MsiController,
    private readonly fabric: IrqFabric,
  ) {
    for (let irq = 0; chip.has(irq) || irq < FIRST_MSI; irq++) {
      if (chip.has(irq)) this.#add(irq, chip);
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
    const desc = this.#descs[irq];
    if (desc === undefined || !hasHandler(action)) return -EINVAL;
    if (this.fabric.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const first = desc.actions[0];
    if (first !== undefined) {
      if ((first.flags & action.flags & IRQF_SHARED) === 0) return -EBUSY;
      desc.actions.push(action);
      return 0;
    }
    desc.actions.push(action);
    desc.status &= ~(IRQ_WAITING | IRQ_INPROGRESS);
    this.#startup(desc);
    return 0;
  }

  free(irq: number, devId: object | undefined): void {
    const desc = this.#descs[irq];
    if (desc?.unlink(devId) !== true) {
      this.#warn(irq, `Trying to free already-free IRQ ${irq}`);
      return;
    }
    if (desc.actions.length === 0) {
      desc.depth = 1;
      desc.status |= IRQ_DISABLED;
      desc.unlazy = false;
      desc.chip.mask(irq);
    }
  }

  inProgress(irq: number): boolean {
    return ((this.#descs[irq]?.status ?? 0) & IRQ_INPROGRESS) !== 0;
  }

  /** Lazy unless told otherwise: only marked; the line fires once more and is masked then. */
  disableNosync(irq: number): void {
    const desc = this.#descs[irq];
    if (desc === undefined || desc.depth++ > 0) return;
    desc.status |= IRQ_DISABLED;
    if (desc.unlazy) desc.chip.mask(irq);
  }

  forgetEdge(irq: number): void {
    const desc = this.#descs[irq];
    if (desc !== undefined) desc.status &= ~IRQ_PENDING;
  }

  enable(irq: number): void {
    const desc = this.#descs[irq];
    if (desc === undefined) return;
    if (desc.depth === 0) this.#warn(irq, `Unbalanced enable for IRQ ${irq}`);
    else if (desc.depth === 1) this.#startup(desc);
    else desc.depth--;
  }

  handle(cpu: Cpu, irq: number): Flow | undefined {
    const desc = this.#descs[irq];
    if (desc === undefined) return undefined;
    return desc.level ? this.#level(cpu, desc) : this.#edge(cpu, desc);
  }

  isSent(irq: number): boolean {
    return this.fabric.cpus.isSent(irq);
  }

  allocMsi(count: number): number[] | undefined {
    // A function puts the vector's number into the low bits of its message, so those of the first have to be 0.
    const aligned = 2 ** Math.ceil(Math.log2(count));
    for (let first = Math.ceil(FIRST_MSI / aligned) * aligned; first + count - 1 <= LAST_MSI; first += aligned) {
      const irqs = Array.from({ length: count }, (_, vector) => first + vector);
      if (irqs.some((irq) => this.#descs[irq] !== undefined)) continue;
      for (const irq of irqs) this.#add(irq, this.msi);
      return irqs;
    }
    return undefined;
  }

  freeMsi(irqs: readonly number[]): void {
    for (const irq of irqs) delete this.#descs[irq];
  }

  #add(irq: number, chip: IrqChip): void {
    this.#descs[irq] = new IrqDesc(irq, chip, this.fabric.cpus.all.length);
  }

  /** irq_startup() and irq_enable(), with the resend of an edge that was held back. */
  #startup(desc: IrqDesc): void {
    desc.depth = 0;
    desc.status &= ~IRQ_DISABLED;
    desc.chip.unmask(desc.irq);
    if (desc.level) {
      desc.status &= ~IRQ_PENDING;
    } else if ((desc.status & (IRQ_PENDING | IRQ_REPLAY)) === IRQ_PENDING) {
      desc.status = (desc.status & ~IRQ_PENDING) | IRQ_REPLAY;
      desc.chip.retrigger(desc.irq);
    }
  }

  /** handle_fasteoi_irq(), and handle_level_irq() for the 8259s, which have to be masked before their end of interrupt. */
  #level(cpu: Cpu, desc: IrqDesc): Flow | undefined {
    const { chip, irq } = desc;
    const pic = isPic(chip);
    if (pic) {
      chip.mask(irq);
      chip.eoi(irq);
    }
    if ((desc.status & IRQ_INPROGRESS) === 0) {
      desc.status &= ~(IRQ_REPLAY | IRQ_WAITING);
      if ((desc.status & IRQ_DISABLED) === 0 && desc.actions.length > 0) {
        this.#count(cpu, desc);
        return handleIrqEvent(this, cpu, desc);
      }
      desc.status |= IRQ_PENDING;
      if (!chip.isMasked(irq)) chip.mask(irq);
    }
    if (!pic) chip.eoi(irq);
    return undefined;
  }

  /** handle_edge_irq() */
  #edge(cpu: Cpu, desc: IrqDesc): Flow | undefined {
    const { chip, irq } = desc;
    desc.status &= ~(IRQ_REPLAY | IRQ_WAITING);
    if ((desc.status & (IRQ_INPROGRESS | IRQ_DISABLED)) !== 0 || desc.actions.length === 0) {
      desc.status |= IRQ_PENDING;
      chip.mask(irq);
      chip.eoi(irq);
      return undefined;
    }
    this.#count(cpu, desc);
    chip.eoi(irq);
    return handleIrqEvent(this, cpu, desc);
  }

  start(desc: IrqDesc): void {
    const { chip, irq } = desc;
    if (!desc.level && (desc.status & IRQ_PENDING) !== 0 && chip.isMasked(irq)) chip.unmask(irq);
    desc.status = (desc.status & ~IRQ_PENDING) | IRQ_INPROGRESS;
  }

  end(desc: IrqDesc, result: IrqReturn): boolean {
    if (noteInterrupt(desc, result)) this.#giveUp(desc);
    desc.status &= ~IRQ_INPROGRESS;
    if (!desc.level) return (desc.status & (IRQ_PENDING | IRQ_DISABLED)) === IRQ_PENDING;
    if (!isPic(desc.chip)) desc.chip.eoi(desc.irq);
    else if ((desc.status & IRQ_DISABLED) === 0) desc.chip.unmask(desc.irq);
    return false;
  }

  #giveUp(desc: IrqDesc): void {
    this.#warn(desc.irq, `irq ${desc.irq}: nobody cared`);
    desc.depth++;
    desc.status |= IRQ_DISABLED;
    desc.chip.mask(desc.irq);
  }

  #count(cpu: Cpu, desc: IrqDesc): void {
    desc.counts[cpu.id] = (desc.counts[cpu.id] ?? 0) + 1;
  }

  #warn(irq: number, text: string): void {
    this.warnings.push(text);
    const { trace } = this.fabric;
    if (trace.on) trace.emit('warning', irq, 'kernel', text);
  }
}

/** The 8259s have to be masked before their end of interrupt, and are unmasked after it. */
function isPic(chip: IrqChip): boolean {
  return chip.name === 'XT-PIC';
}
