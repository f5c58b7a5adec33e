import type { IrqFabric, PinnedIrqChip } from './irq-chip.ts';

/**
 * An interrupt line: a wire from any number of devices to one pin. It is asserted while at least one of them holds it
 * (wired or, as PCI's INTx# are).
 */
export class IrqLine {
  /** Who holds it: nearly always nobody or one. */
  #holder: object | undefined = undefined;
  readonly #others = new Set<object>();

  constructor(
    readonly irq: number,
    private readonly chip: PinnedIrqChip,
    private readonly fabric: IrqFabric,
  ) {}

  get asserted(): boolean {
    return this.#holder !== undefined;
  }

  /** A device starts to hold the line. Again does nothing. */
  raise(source: object): void {
    if (this.#holder !== undefined) {
      if (this.#holder !== source) this.#others.add(source);
      return;
    }
    this.#holder = source;
    const { oracle, trace } = this.fabric;
    if (trace.on) trace.emit('raise', this.irq, `irq ${this.irq}`);
    if (oracle.choose(2, 'interrupt.lost') === 0) this.chip.setPin(this.irq, true);
  }

  /** A device lets the line go. Again does nothing. */
  lower(source: object): void {
    if (this.#holder !== source) {
      this.#others.delete(source);
      return;
    }
    this.#holder = undefined;
    if (this.#others.size > 0) {
      const [next] = this.#others;
      this.#holder = next;
      if (next !== undefined) this.#others.delete(next);
      return;
    }
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
