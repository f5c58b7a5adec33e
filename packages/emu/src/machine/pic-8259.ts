import type { IrqFabric, PinnedIrqChip, Trigger } from './irq-chip.ts';

interface Pin {
  readonly trigger: Trigger;
  masked: boolean;
  asserted: boolean;
  /** Interrupt request register: an edge was seen, or the level is high. */
  requested: boolean;
  /** In-service register: handed to the processor, no end of interrupt yet. */
  inService: boolean;
}

/** The pins that PCI lines share on a machine without an I/O APIC; the edge/level control register makes them level. */
const LEVEL_PINS = [5, 9, 10, 11];
const CASCADE = 2;

/**
 * The pair of 8259 interrupt controllers of a PC. It hands everything to the boot processor. Requests keep their order;
 * the controllers' priorities, which decide between requests of the same moment, are not modelled.
 */
export class Pic8259 implements PinnedIrqChip {
  readonly name = 'XT-PIC';
  readonly #pins: Pin[] = Array.from({ length: 16 }, (_, pin) => ({
    trigger: LEVEL_PINS.includes(pin) ? 'level' : 'edge',
    masked: true,
    asserted: false,
    requested: false,
    inService: false,
  }));

  constructor(private readonly fabric: IrqFabric) {}

  trigger(irq: number): Trigger {
    return this.#pin(irq).trigger;
  }

  has(irq: number): boolean {
    return irq in this.#pins && irq !== CASCADE;
  }

  isMasked(irq: number): boolean {
    return this.#pin(irq).masked;
  }

  mask(irq: number): void {
    this.#pin(irq).masked = true;
    if (this.fabric.trace.on) this.fabric.trace.emit('mask', irq, this.name);
  }

  unmask(irq: number): void {
    const pin = this.#pin(irq);
    pin.masked = false;
    if (this.fabric.trace.on) this.fabric.trace.emit('unmask', irq, this.name);
    this.#deliver(irq, pin);
  }

  eoi(irq: number): void {
    const pin = this.#pin(irq);
    pin.inService = false;
    this.#deliver(irq, pin);
  }

  retrigger(irq: number): void {
    this.fabric.cpus.boot.request(irq);
  }

  setPin(irq: number, asserted: boolean): void {
    const pin = this.#pin(irq);
    if (pin.trigger === 'level') pin.requested = asserted;
    else if (asserted && !pin.asserted) pin.requested = true;
    pin.asserted = asserted;
    this.#deliver(irq, pin);
  }

  #deliver(irq: number, pin: Pin): void {
    if (!pin.requested || pin.masked || pin.inService) return;
    pin.inService = true;
    if (pin.trigger === 'edge') pin.requested = false;
    this.fabric.cpus.boot.request(irq);
  }

  #pin(irq: number): Pin {
    const pin = this.#pins[irq];
    if (pin === undefined) throw new RangeError(`the 8259s have no pin ${irq}`);
    return pin;
  }
}
