// A device of one's own and its driver, on an emulated machine: docs/tutorial-device.md explains both.
import { bindDriver } from '@usrdrv/core';
import { emulated } from '@usrdrv/emu';
import { sumDevice } from './toy/device.ts';
import { sumDriver } from './toy/driver.ts';

using backend = emulated({ devices: [sumDevice] });
using bindings = await bindDriver(backend, sumDriver);
for (const { function: found, instance } of bindings.bound) {
  const sum = await instance.sum(Uint8Array.from({ length: 101 }, (_, n) => n));
  console.log(`${found.address}: 1 + 2 + ... + 100 = ${sum}`);
}
