import type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from './device.ts';

/**
 * A port with eight LEDs and a button, as a driver's first device: registers behind a BAR, and an interrupt (S3). It exists
 * here only.
 *
 * | offset | bits | access | register |
 * | ------ | ---- | ------ | -------- |
 * | 0x00   | 8    | rw     | LEDs: bit n lights LED n |
 * | 0x01   | 8    | ro     | button: bit 0 is set while it is held down |
 * | 0x02   | 8    | w1c    | pressed: bit 0 is set by each press, until 1 is written to it |
 * | 0x03   | 8    | rw     | interrupt enable: bit 0 lets `pressed` hold the interrupt line |
 *
 * After power-on all are 0. Bits without a meaning read as 0, and so does every other offset or width. What a driver
 * writes there, or to the button, has no effect and is noted in {@link LedDevice.errors}.
 *
 * @example
 * ```ts
 * import { emulated, LedDevice } from '@usrdrv/emu';
 * const led = new LedDevice();
 * using backend = emulated({ devices: [led] });
 * const device = backend.pci.open('0000:00:04.0', { dmaMask: 0n });
 * device.bar(0).write8(0, 0b101);
 * console.assert(led.leds === 0b101);
 * led.press(); // the back door
 * console.assert(device.bar(0).read8(2) === 1);
 * ```
 */
export class LedDevice implements DeviceModel, AccessHandlers {
  readonly name = 'led';
  readonly config: DeviceConfig = { vendorId: 0x1234, deviceId: 0x1ed8, classCode: 0xff0000, interruptPin: 1 };
  readonly bars: readonly Bar[] = [{ size: 16 }];

  /** Back door: what a driver wrote where nothing can be written. A correct driver leaves it empty. */
  readonly errors: string[] = [];

  #bus: DeviceBus | undefined = undefined;
  #leds = 0;
  #held = false;
  #pressed = 0;
  #interruptEnable = 0;

  /** Back door: which LEDs are lit, bit n for LED n. */
  get leds(): number {
    return this.#leds;
  }

  /** Back door: a finger on the button. While it is held down, pressing again does nothing. */
  press(): void {
    if (this.#held) return;
    this.#held = true;
    this.#pressed = 1;
    this.#drive();
  }

  /** Back door: the finger goes. */
  release(): void {
    this.#held = false;
  }

  attach(bus: DeviceBus): AccessHandlers {
    this.#bus = bus;
    this.#leds = this.#pressed = this.#interruptEnable = 0;
    this.#held = false;
    return this;
  }

  read(offset: number, width: Width): number {
    if (width !== 1) return 0;
    switch (offset) {
      case LEDS:
        return this.#leds;
      case BUTTON:
        return this.#held ? 1 : 0;
      case PRESSED:
        return this.#pressed;
      case INTERRUPT_ENABLE:
        return this.#interruptEnable;
      default:
        return 0;
    }
  }

  write(offset: number, value: number, width: Width): void {
    switch (width === 1 ? offset : undefined) {
      case LEDS:
        this.#leds = value;
        return;
      case PRESSED:
        this.#pressed &= ~value;
        break;
      case INTERRUPT_ENABLE:
        this.#interruptEnable = value & 1;
        break;
      default:
        this.errors.push(`0x${value.toString(16)} written to offset 0x${offset.toString(16)}, ${width} bytes`);
        return;
    }
    this.#drive();
  }

  #drive(): void {
    if ((this.#pressed & this.#interruptEnable) !== 0) this.#bus?.raiseInterrupt();
    else this.#bus?.lowerInterrupt();
  }
}

const LEDS = 0x00;
const BUTTON = 0x01;
const PRESSED = 0x02;
const INTERRUPT_ENABLE = 0x03;
