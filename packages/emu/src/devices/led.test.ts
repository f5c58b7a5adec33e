import { afterEach, describe, expect, test } from 'vitest';
import { type EmulatedBackend, emulated } from '../emulated.ts';
import { LedDevice } from './led.ts';

const SLOT = '0000:00:04.0';
const [LEDS, BUTTON, PRESSED, ENABLE] = [0, 1, 2, 3];

const open: EmulatedBackend[] = [];
afterEach(() => {
  for (const backend of open.splice(0)) backend.close();
});

function start() {
  const led = new LedDevice();
  const backend = emulated({ devices: [led] });
  open.push(backend);
  const device = backend.pci.open(SLOT, { dmaMask: 0n });
  return { led, backend, device, port: device.bar(0), line: () => backend.machine.line(16).asserted };
}

describe('the registers', () => {
  test('LEDs read back as they were written, and the back door sees them', () => {
    const { led, port } = start();
    for (let leds = 0; leds < 256; leds++) {
      port.write8(LEDS, leds);
      expect(port.read8(LEDS)).toBe(leds);
      expect(led.leds).toBe(leds);
    }
  });

  test('the button is held until the finger goes; each press is latched until 1 is written back', () => {
    const { led, port } = start();
    led.press();
    led.press();
    expect([port.read8(BUTTON), port.read8(PRESSED)]).toEqual([1, 1]);
    port.write8(PRESSED, 0xfe);
    expect(port.read8(PRESSED)).toBe(1);
    port.write8(PRESSED, 1);
    expect([port.read8(BUTTON), port.read8(PRESSED)]).toEqual([1, 0]);
    led.release();
    expect([port.read8(BUTTON), port.read8(PRESSED)]).toEqual([0, 0]);
    led.press();
    expect(port.read8(PRESSED)).toBe(1);
  });

  test('the line is held while a press is latched and the interrupt enabled', () => {
    const { led, port, line } = start();
    led.press();
    expect(line()).toBe(false);
    port.write8(ENABLE, 0xff);
    expect(port.read8(ENABLE)).toBe(1);
    expect(line()).toBe(true);
    port.write8(ENABLE, 0);
    expect(line()).toBe(false);
    port.write8(ENABLE, 1);
    port.write8(PRESSED, 1);
    expect(line()).toBe(false);
  });

  test('what cannot be written is noted and has no effect; what is not there reads as 0', () => {
    const { led, port } = start();
    port.write8(LEDS, 0x5a);
    port.write8(BUTTON, 1);
    port.write8(4, 1);
    port.write32(LEDS, 0xffff_ffff);
    expect(led.errors).toEqual([
      '0x1 written to offset 0x1, 1 bytes',
      '0x1 written to offset 0x4, 1 bytes',
      '0xffffffff written to offset 0x0, 4 bytes',
    ]);
    expect([port.read8(BUTTON), port.read8(4), port.read16(LEDS), port.read32(LEDS)]).toEqual([0, 0, 0, 0]);
    expect(led.leds).toBe(0x5a);
  });
});

test('plugged in anew, all is dark and quiet', () => {
  const { led, backend, port } = start();
  port.write8(LEDS, 0xff);
  port.write8(ENABLE, 1);
  led.press();
  backend.machine.pci.unplug(SLOT);
  expect(port.read8(LEDS)).toBe(0xff);
  led.press();
  backend.machine.pci.plug(led, { address: SLOT, irq: 16 });
  expect(led.leds).toBe(0);
  led.press();
  expect(backend.machine.line(16).asserted).toBe(false);
});
