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
    this.#drive(true);
  }

  /** A device lets the line go. Again does nothing. */
  lower(source: object): void {
    if (this.#holder !== source) {
      this.#others.delete(source);
      return;
    }
    this.#holder = undefined;
    if (this.#others.size > 0) this.#handOn();
    else this.#drive(false);
  }

  /** Another device holds it still. */
  #handOn(): void {
    const [next] = this.#others;
    this.#holder = next;
    if (next !== undefined) this.#others.delete(next);
  }

  #drive(asserted: boolean): void {
    const { oracle, trace } = this.fabric;
    if (trace.on) trace.emit(asserted ? 'raise' : 'lower', this.irq, `irq ${this.irq}`);
    if (!asserted || oracle.choose(2, 'interrupt.lost') === 0) this.chip.setPin(this.irq, asserted);
  }

  /** Up and down: one edge. */
  pulse(): void {
    this.raise(this);
    this.lower(this);
  }
}
