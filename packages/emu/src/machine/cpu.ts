/**
 * A processor, as far as interrupts go: which are waiting to be taken, and whether it takes any now. A vector that waits
 * already is not queued twice (the local APIC's request register has one bit for each).
 */
export class Cpu {
  /** How often interrupts have been switched off: spin_lock_irqsave and running handlers nest. */
  irqsOff = 0;
  readonly #requested: number[] = [];

  constructor(
    readonly id: number,
    readonly cpus: Cpus,
  ) {}

  /** An interrupt controller hands over a vector. The vector is the kernel's interrupt number: the map is one to one here. */
  request(irq: number): void {
    if (this.isSent(irq)) return;
    this.#requested.push(irq);
    this.cpus.requests++;
    this.cpus.stops++;
  }

  /** Whether an interrupt waits that it would take now. */
  get interrupted(): boolean {
    return this.irqsOff === 0 && this.#requested.length > 0;
  }

  /** Whether somebody may want to come in between two steps. */
  get mayStop(): boolean {
    return this.cpus.stops > 0;
  }

  /**
   * Whether kernel code stops before a step: asked there, and nowhere else. Code that runs for each interrupt stops only
   * then, as a stop costs more than most steps do.
   */
  stopsAt(step: CpuStep): boolean {
    const { cpus } = this;
    return cpus.stops > 0 && cpus.passer?.passes(step) !== true;
  }

  /** Whether that interrupt has been sent to it, and not been taken. */
  isSent(irq: number): boolean {
    return this.#requested.length > 0 && this.#requested.includes(irq);
  }

  /** Takes the first waiting interrupt. */
  take(): number | undefined {
    if (this.irqsOff > 0 || this.#requested.length === 0) return undefined;
    this.cpus.requests--;
    this.cpus.stops--;
    return this.#requested.shift();
  }
}

/** A step of the code that a processor runs, by its name. */
export interface CpuStep {
  readonly name: string;
}

/** Who decides at every step may know already that whoever took the last one takes the next one too. */
export interface Passer {
  /** A step has been taken: whether this one follows at once. */
  passes(step: CpuStep): boolean;
}

/** The processors of a machine. */
export class Cpus {
  /** Interrupts that wait on any processor: 0 is the common case, and cheap to see. */
  requests = 0;
  /** Reasons to stop at a step: interrupts that wait on any processor, and somebody who decides at every step. */
  stops = 0;
  /** Says of each stop whether it is passed by. */
  passer: Passer | undefined = undefined;
  /** Spinlocks that are held: while there is one, an interrupt on another processor might have to spin for it. */
  locks = 0;
  readonly all: readonly Cpu[];

  constructor(count: number) {
    this.all = Array.from({ length: count }, (_, id) => new Cpu(id, this));
  }

  /** Whether that interrupt has been sent to one of them, and not been taken. */
  isSent(irq: number): boolean {
    return this.requests > 0 && this.all.some((cpu) => cpu.isSent(irq));
  }

  /** The processor that runs what has no other. */
  get boot(): Cpu {
    return this.at(0);
  }

  at(id: number): Cpu {
    const cpu = this.all[id];
    if (cpu === undefined) throw new RangeError(`no processor ${id}: the machine has ${this.all.length}`);
    return cpu;
  }
}
