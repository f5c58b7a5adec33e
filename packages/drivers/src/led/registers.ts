import { bit, r8, registers, rw8 } from '@usrdrv/core';

/** The registers of the LED port of @usrdrv/emu, in BAR 0: a byte each. */
export const ledRegisters = registers({
  /** Bit n lights LED n. */
  leds: rw8(0x00),
  /** `held` while a finger is on the button. */
  button: r8(0x01, { fields: { held: bit(0) } }),
  /** {@link PRESSED} is set by each press, and holds the interrupt line until it is written back. */
  pressed: r8(0x02, { access: 'w1c' }),
  interruptEnable: rw8(0x03, { fields: { pressed: bit(0) } }),
});

/** The bit of the `pressed` register. */
export const PRESSED = 1;

/** How many LEDs the port has. */
export const LEDS = 8;
