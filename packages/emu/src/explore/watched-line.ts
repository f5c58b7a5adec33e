import { IRQ_DISABLED, IRQ_LEVEL, type IrqDesc } from '../kernel/irq-desc.ts';
import { ChubbIrqFile } from '../kernel/irq-file-chubb.ts';
import { UsrdrvIrqFile } from '../kernel/irq-file-usrdrv.ts';
import type { IrqLine } from '../machine/irq-line.ts';

/** An open irq file, of either profile. */
export type IrqFile = ChubbIrqFile | UsrdrvIrqFile;

function isIrqFile(ops: unknown): ops is IrqFile {
  return ops instanceof ChubbIrqFile || ops instanceof UsrdrvIrqFile;
}

/** No status that a line has. */
const NEVER = -1;

/** A line, and the books about what happened to its interrupts. */
export class WatchedLine {
  /** Interrupts that devices asked for: edges, or assertions of a line that was not held. */
  raised = 0;
  /** Of those, what the handler has counted, what reads have returned. */
  delivered = 0;
  returned = 0;
  /** A device asked; since then no handler has counted, and the kernel has not dropped it in so many words. */
  waiting = false;
  #owner: object | undefined = undefined;
  #file: IrqFile | undefined = undefined;
  /** As it was when it was looked at last. */
  #status = NEVER;
  #count = 0;
  #depth = 0;
  #seen: IrqFile | undefined = undefined;

  constructor(
    readonly irq: number,
    readonly desc: IrqDesc,
    private readonly wire: IrqLine,
  ) {}

  /** The file that has the line, where one has. */
  get file(): IrqFile | undefined {
    const devId = this.desc.actions[0]?.devId;
    if (devId !== this.#owner) {
      this.#owner = devId;
      this.#file = isIrqFile(devId) ? devId : undefined;
    }
    return this.#file;
  }

  /** Whether the count, the mask or the depth is not as it was when this was asked last. */
  changed(): boolean {
    const { desc, file } = this;
    const count = file === undefined ? 0 : file.count;
    if (desc.status === this.#status && count === this.#count && desc.depth === this.#depth && file === this.#seen) {
      return false;
    }
    this.#status = desc.status;
    this.#count = count;
    this.#depth = desc.depth;
    this.#seen = file;
    return true;
  }

  get asserted(): boolean {
    return this.wire.asserted;
  }

  /** A device holds the line. */
  raise(): void {
    const before = this.wire.asserted;
    this.wire.raise(this);
    this.held(before);
  }

  /** A driver has acknowledged the device, which lets the line go. */
  lower(): void {
    const before = this.wire.asserted;
    this.wire.lower(this);
    this.held(before);
  }

  /** Keeps the books of what a device has just done to the line. */
  held(before: boolean): void {
    const { asserted } = this.wire;
    if (asserted && !before) this.raised++;
    if (asserted !== before) this.waiting = asserted;
  }

  /** The handler has counted one up. */
  counted(): void {
    this.delivered++;
    this.waiting = false;
  }

  /** Whoever has the line next hears nothing of what came before. */
  dropped(): void {
    this.waiting = false;
    if (this.file === undefined) this.delivered = this.returned;
  }

  /** One edge. */
  pulse(): void {
    this.raised++;
    this.waiting = true;
    this.wire.raise(this);
    this.wire.lower(this);
  }

  /** An interrupt as its device makes it: one edge, or an assertion until it is acknowledged. */
  fire(): void {
    if (this.desc.level) this.raise();
    else this.pulse();
  }

  reset(): void {
    this.raised = 0;
    this.delivered = 0;
    this.returned = 0;
    this.waiting = false;
    this.#status = NEVER;
    if (this.wire.asserted) this.wire.lower(this);
    const { desc } = this;
    desc.status = (desc.status & IRQ_LEVEL) | IRQ_DISABLED;
    desc.depth = 1;
    // To set the length of an array takes longer than to empty a short one.
    while (desc.actions.length > 0) desc.actions.pop();
    desc.irqCount = 0;
    desc.irqsUnhandled = 0;
  }
}
