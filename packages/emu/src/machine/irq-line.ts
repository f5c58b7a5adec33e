import type { IrqFabric, PinnedIrqChip } from './irq-chip.ts';

/**
 * An interrupt line: a wire from any number of devices to one pin. It is asserted while at least one of them holds it
 * (wired or, as PCI's INTx# are).
 */
export class IrqLine {
  readonly #holders = new Set<object>();

  constructor(
    readonly irq: number,
    private readonly chip: PinnedIrqChip,
    private readonly fabric: IrqFabric,
  ) {}

  get asserted(): boolean {
    return this.#holders.size > 0;
  }

  /** A device starts to hold the line. Again does nothing. */
  raise(source: object): void {
    if (this.#holders.has(source)) return;
    this.#holders.add(source);
    if (this.#holders.size > 1) return;
    const { oracle, trace } = this.fabric;
    if (trace.on) trace.emit('raise', this.irq, `irq ${this.irq}`);
    if (oracle.choose(2, 'interrupt.lost') === 0) this.chip.setPin(this.irq, true);
  }

  /** A device lets the line go. Again does nothing. */
  lower(source: object): void {
    if (!this.#holders.delete(source) || this.#holders.size > 0) return;
    const { trace } = this.fabric;
    if (trace.on) trace.emit('lower', this.irq, `irq ${this.irq}`);
    this.chip.setPin(this.irq, false);
  }

  /** Up and down: one edge. */
  pulse(): void {
    this.raise(this);
    this.lower(this);
  }
}
