import type { IrqChip, IrqFabric, Trigger } from './irq-chip.ts';

/** Where the local APICs listen for interrupt messages; bits 12 to 19 name the processor. */
const MESSAGE_BASE = 0xfee0_0000;
const MESSAGE_END = 0xfef0_0000;

/** What a function's MSI capability is programmed with. */
export interface MsiMessage {
  readonly address: bigint;
  readonly data: number;
}

/**
 * Interrupts that arrive as memory writes. Edge-triggered; without per-vector masking (the devices here do not have it)
 * there is nothing to mask at, so it is the kernel that has to hold a disabled vector back.
 */
export class MsiController implements IrqChip {
  readonly name = 'PCI-MSI';
  readonly #firstIrq: number;

  constructor(
    private readonly fabric: IrqFabric,
    firstIrq: number,
  ) {
    this.#firstIrq = firstIrq;
  }

  /** The message that a device has to write to cause this interrupt. */
  message(irq: number): MsiMessage {
    return { address: BigInt(MESSAGE_BASE), data: irq };
  }

  /** Whether a device's write to this address is an interrupt message, and no write to memory. */
  decodes(address: bigint): boolean {
    return address >= MESSAGE_BASE && address < MESSAGE_END;
  }

  /** A device wrote a message. */
  write(address: bigint, data: number): void {
    const { cpus, oracle, trace } = this.fabric;
    const irq = data & 0xff;
    if (trace.on) trace.emit('message', irq, `irq ${irq}`);
    if (oracle.choose(2, 'interrupt.lost') === 1) return;
    const cpu = (Number(address) >> 12) & 0xff;
    cpus.at(cpu < cpus.all.length ? cpu : 0).request(irq);
  }

  trigger(): Trigger {
    return 'edge';
  }

  has(irq: number): boolean {
    return irq >= this.#firstIrq && irq < 256;
  }

  isMasked(): boolean {
    return false;
  }

  mask(): void {}

  unmask(): void {}

  eoi(): void {}

  retrigger(irq: number): void {
    this.fabric.cpus.boot.request(irq);
  }
}
