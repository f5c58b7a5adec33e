import {
  type Clock,
  type Driver,
  defineDriver,
  type ErrnoCode,
  type IrqSource,
  type PciDevice,
  SystemError,
  type WaitOptions,
} from '@usrdrv/core';
import { LEDS, ledRegisters, PRESSED } from './registers.ts';

/** The driver of the LED port, for `bindDriver`. See {@link Led}. */
export const ledDriver: Driver<Led> = defineDriver({
  name: 'led',
  match: [{ vendorId: 0x1234, deviceId: 0x1ed8 }],
  // It reaches no memory: the kernel's mask stays.
  dmaMask: 0n,
  probe: (device, { clock }) => new Led(device, clock),
  remove: (led) => led.remove(),
});

const ALL = 2 ** LEDS - 1;
const ALL_ONES = 0xff;
/** A pause after an interrupt that is not the device's. The line stays masked meanwhile: a stuck one takes no processor. */
const SPURIOUS_MS = 1;

/**
 * A running LED port. What it is asked after the device was pulled out is a `SystemError` ENODEV, after {@link remove} EBADF.
 */
export class Led implements Disposable {
  readonly #device: PciDevice;
  readonly #clock: Clock;
  readonly #registers: ReturnType<typeof ledRegisters.bind>;
  readonly #irq: IrqSource;
  #interrupts = 0;
  #removed = false;

  /**
   * Takes an opened device over, with all LEDs dark and no press pending.
   * @throws SystemError ENODEV it was pulled out; those of `irq`
   */
  constructor(device: PciDevice, clock: Clock) {
    this.#device = device;
    this.#clock = clock;
    this.#registers = ledRegisters.bind(device.bar(0));
    this.#silence();
    this.#irq = device.irq();
    this.#registers.interruptEnable.write({ pressed: true });
    this.#checkPresent();
  }

  /** Interrupts taken since the driver took the device over. */
  get interrupts(): number {
    return this.#interrupts;
  }

  /** Which LEDs are lit: bit n for LED n. */
  get lit(): number {
    this.#checkBound('lit');
    const lit = this.#registers.leds.read();
    if (lit === ALL_ONES) this.#checkPresent();
    return lit;
  }

  /**
   * Lights exactly these LEDs.
   * @throws RangeError unless an integer of 8 bits
   */
  light(leds: number): void {
    if (!Number.isInteger(leds) || leds < 0 || leds > ALL) {
      throw new RangeError(`LEDs are the bits of an integer from 0 to ${ALL}, not ${String(leds)}`);
    }
    this.#checkBound('light');
    this.#registers.leds.write(leds);
    this.#checkPresent();
  }

  /** Turns these LEDs over: lit ones go dark, dark ones light up. */
  toggle(leds: number): void {
    this.light(this.lit ^ leds);
  }

  /** Whether a finger is on the button now. */
  get held(): boolean {
    this.#checkBound('held');
    this.#checkPresent();
    return this.#registers.button.readFields().held;
  }

  /**
   * Waits for a press of the button, and takes it. Presses that came since the last call count as one.
   * @param o.timeoutMs milliseconds on the backend's clock, >= 0; left out, it waits for ever
   * @returns false where the time is up
   * @throws RangeError a timeout that is no number >= 0
   * @throws SystemError ENODEV the device was pulled out; ECANCELED the driver was removed meanwhile; the signal's reason
   */
  async press(o: WaitOptions & { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const { timeoutMs = Number.POSITIVE_INFINITY } = o;
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
      throw new RangeError(`a timeout is a number of milliseconds >= 0, not ${String(timeoutMs)}`);
    }
    this.#checkBound('press');
    const start = this.#clock.now();
    try {
      for (let left = timeoutMs; ; left = timeoutMs - Number(this.#clock.now() - start) / 1e6) {
        const fired = await this.#irq.poll({ ...o, timeoutMs: Math.max(0, left) });
        if (fired) this.#interrupts += this.#irq.tryRead() ?? 0;
        // It says so itself: an interrupt that got lost is no press that got lost.
        if (this.#acknowledge()) return true;
        // A stuck line fires for ever.
        if (!fired || left <= 0) return false;
        await this.#clock.sleep(SPURIOUS_MS, o);
      }
    } catch (error) {
      if (this.#removed) throw this.#error('ECANCELED', 'press', 'the driver was removed');
      throw error;
    }
  }

  /** Turns the LEDs off and gives back what the driver took of the device; a pending `press` rejects. Again does nothing. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    try {
      this.#silence();
    } catch (error) {
      // A device that was pulled out is dark.
      if (!(error instanceof SystemError && error.code === 'ENODEV')) throw error;
    } finally {
      this.#irq.close();
    }
  }

  [Symbol.dispose](): void {
    this.remove();
  }

  #acknowledge(): boolean {
    const pressed = this.#registers.pressed.read();
    if (pressed === ALL_ONES) this.#checkPresent();
    if ((pressed & PRESSED) === 0) return false;
    this.#registers.pressed.write(PRESSED);
    return true;
  }

  /** Dark, and quiet: whoever had it before may have left it otherwise. */
  #silence(): void {
    this.#registers.interruptEnable.write({ pressed: false });
    this.#registers.pressed.write(PRESSED);
    this.#registers.leds.write(0);
  }

  /** All ones is what the bus reads where nobody answers, and what the button never reads as. */
  #checkPresent(): void {
    if (this.#registers.button.read() !== ALL_ONES) return;
    throw this.#error('ENODEV', 'mmio', 'the device does not answer');
  }

  #checkBound(operation: string): void {
    if (this.#removed) throw this.#error('EBADF', operation, 'the driver has been removed');
  }

  #error(code: ErrnoCode, syscall: string, detail: string): SystemError {
    return new SystemError(code, syscall, { path: `${this.#device.address}`, detail });
  }
}
