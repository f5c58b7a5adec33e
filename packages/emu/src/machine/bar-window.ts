import type { Width } from '../devices/device.ts';
import type { PciFunction } from './pci-function.ts';

/** The physical addresses that one BAR of a function answers to, from `start` up to but without `end`. */
export class BarWindow {
  constructor(
    readonly owner: PciFunction,
    readonly bar: number,
    readonly start: number,
    readonly end: number,
  ) {}

  /** A load of 1, 2, 4 or (then a bigint) 8 bytes, unsigned. */
  read(physical: number, width: number): number | bigint {
    const { registers } = this.owner;
    const offset = physical - this.start;
    if (width !== 8) return unsigned(registers.read(offset, width as Width, this.bar), width);
    if (registers.read64 !== undefined) return BigInt.asUintN(64, registers.read64(offset, this.bar));
    const low = unsigned(registers.read(offset, 4, this.bar), 4);
    return (BigInt(unsigned(registers.read(offset + 4, 4, this.bar), 4)) << 32n) | BigInt(low);
  }

  /** A store of 1, 2, 4 or (then of a bigint) 8 bytes. */
  write(physical: number, width: number, value: number | bigint): void {
    const { registers } = this.owner;
    const offset = physical - this.start;
    if (width !== 8) {
      registers.write(offset, Number(value), width as Width, this.bar);
    } else if (registers.write64 !== undefined) {
      registers.write64(offset, BigInt(value), this.bar);
    } else {
      const whole = BigInt(value);
      registers.write(offset, Number(whole & 0xffff_ffffn), 4, this.bar);
      registers.write(offset + 4, Number(whole >> 32n), 4, this.bar);
    }
  }
}

/** The windows of a function that is plugged in and placed, whether they are decoded now or not. */
export function barWindows(owner: PciFunction): BarWindow[] {
  return owner.model.bars.flatMap((bar, index) => {
    const start = owner.barAddress(index);
    return bar === undefined || start === undefined ? [] : [new BarWindow(owner, index, start, start + bar.size)];
  });
}

function unsigned(value: number, width: number): number {
  return width === 4 ? value >>> 0 : value & (width === 2 ? 0xffff : 0xff);
}
