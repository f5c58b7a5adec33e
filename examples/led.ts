// Eight LEDs and a button: a light runs through the LEDs, a step every 10 ms, and each press of the button turns it round.
import { bindDriver } from '@usrdrv/core';
import { ledDriver } from '@usrdrv/drivers';
import { LedDevice } from '@usrdrv/emu';
import { backendArgument, openHost } from './backend/index.ts';

const PRESSES = 3;
const STEP_MS = 10;

const { name } = backendArgument();
const device = new LedDevice();
using host = await openHost(name, [device]);
using bindings = await bindDriver(host.backend, ledDriver);
const [binding] = bindings.bound;
if (binding === undefined) throw bindings.failed[0]?.error ?? new Error(`there is no LED port on ${name}`);
const { instance: port, function: found } = binding;

// The finger: of the emulated machine's button, every 45 ms of its time.
if (name === 'emu') void push();
async function push(): Promise<void> {
  for (let press = 0; press < PRESSES; press++) {
    await host.backend.clock.sleep(45);
    device.press();
    device.release();
  }
}

console.log(`LED port at ${found.address}, on ${name}`);
let at = 0;
let direction = 1;
for (let presses = 0; presses < PRESSES; ) {
  port.light(1 << at);
  const pressed = await port.press({ timeoutMs: STEP_MS });
  if (pressed) {
    presses++;
    direction = -direction;
  }
  console.log(`${lamps(port.lit)}${pressed ? '  pressed' : ''}`);
  at = (at + direction + 8) % 8;
}

function lamps(lit: number): string {
  return Array.from({ length: 8 }, (_, bit) => ((lit >> bit) & 1 ? '●' : '○')).join(' ');
}
