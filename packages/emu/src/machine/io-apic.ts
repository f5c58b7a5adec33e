import { type IrqFabric, type PinnedIrqChip, route, type Trigger } from './irq-chip.ts';

interface Pin {
  readonly trigger: Trigger;
  masked: boolean;
  asserted: boolean;
  /** Level only: delivered, and no end of interrupt yet; nothing more is delivered meanwhile. */
  remoteIrr: boolean;
}

/** First pin that PCI's level-triggered lines are wired to; the ISA lines below are edge-triggered. */
const FIRST_PCI_PIN = 16;
const PINS = 24;

/** An Intel I/O APIC with 24 pins. An edge that comes while its pin is masked is lost, as there. */
export class IoApic implements PinnedIrqChip {
  readonly name = 'IO-APIC';
  readonly #pins: Pin[] = Array.from({ length: PINS }, (_, pin) => ({
    trigger: pin < FIRST_PCI_PIN ? 'edge' : 'level',
    masked: true,
    asserted: false,
    remoteIrr: false,
  }));

  constructor(private readonly fabric: IrqFabric) {}

  trigger(irq: number): Trigger {
    return this.#pin(irq).trigger;
  }

  has(irq: number): boolean {
    return irq in this.#pins;
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
    if (pin.trigger === 'level') this.#deliverLevel(irq, pin);
  }

  eoi(irq: number): void {
    const pin = this.#pin(irq);
    if (!pin.remoteIrr) return;
    pin.remoteIrr = false;
    this.#deliverLevel(irq, pin);
  }

  retrigger(irq: number): void {
    route(this.fabric).request(irq);
  }

  setPin(irq: number, asserted: boolean): void {
    const pin = this.#pin(irq);
    const rises = asserted && !pin.asserted;
    pin.asserted = asserted;
    if (pin.trigger === 'level') this.#deliverLevel(irq, pin);
    else if (rises && !pin.masked) route(this.fabric).request(irq);
  }

  #deliverLevel(irq: number, pin: Pin): void {
    if (!pin.asserted || pin.masked || pin.remoteIrr) return;
    pin.remoteIrr = true;
    route(this.fabric).request(irq);
  }

  #pin(irq: number): Pin {
    const pin = this.#pins[irq];
    if (pin === undefined) throw new RangeError(`the I/O APIC has no pin ${irq}`);
    return pin;
  }
}
