/**
 * In the guest: two edu devices that uio_pci_generic has are pulled out while a reader, a poller and a driver use them. Prints
 * `ready` when they are in use, what became of it as JSON (an {@link UnpluggedUio}) once the host has unplugged both, and what
 * works then (a {@link PluggedAgainUio}) once the host has plugged them in again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { bindDriver, type PciAddress } from '@usrdrv/core';
import { DMA_MASK, Edu, eduDriver } from '@usrdrv/drivers/edu';
import { uioBackend } from '@usrdrv/native';
import { bindAll, edus, unbindAll } from './edus.ts';
import { again, codeOf, held } from './outcome.ts';

/** What became of what was in use; errors by their code. */
export interface UnpluggedUio {
  /** `irq.read()`, and `irq.poll()` with `tryRead()` after it, asleep on a line that is silent. */
  readonly read: string;
  readonly poll: string;
  /** A driver in the middle of computing. */
  readonly driver: string;
  /** A device that is still open, asked for its configuration space. */
  readonly config: string;
  /** Descriptors and mappings of the devices that are left when all has been closed. */
  readonly held: readonly string[];
}

/** What works with the devices that were plugged in afterwards. */
export interface PluggedAgainUio {
  readonly factorials: readonly number[];
}

/** What a descriptor or a mapping of a device is of. */
const OF_A_DEVICE = /\/dev\/uio\d+|\/(?:config|resource\d)$|\/dev\/mem/;

using backend = uioBackend();
const [first, second] = bindAll(backend, 'uio_pci_generic');
if (first === undefined || second === undefined) throw new Error('there are no two edu devices');

const pulled = await (async (): Promise<UnpluggedUio> => {
  using device = backend.pci.open(first, { dmaMask: DMA_MASK });
  const irq = device.irq();
  // In QEMU a line may interrupt once, falsely: counts are passed over.
  const read = codeOf(again(() => irq.read()));
  const poll = codeOf(again(async () => (await irq.poll()) && irq.tryRead()));
  const driver = codeOf(compute(second));
  await delay(300);
  console.log('ready');

  const outcome = { read: await read, poll: await poll, driver: await driver };
  const config = await codeOf((async () => device.config.read16(0))());
  device.close();
  while (edus(backend).length > 0) await delay(50);
  return { ...outcome, config, held: held(OF_A_DEVICE) };
})();
console.log(JSON.stringify(pulled));

while (edus(backend).length < 2) await delay(50);
// The kernel may still be at work on the second.
await delay(200);
bindAll(backend, 'uio_pci_generic');
const bindings = await bindDriver(backend, eduDriver());
for (const { error } of bindings.failed) throw error;
const factorials: number[] = [];
for (const { instance } of bindings.bound) factorials.push(await instance.factorial(10));
bindings.remove();
unbindAll(backend, 'uio_pci_generic');
console.log(JSON.stringify({ factorials } satisfies PluggedAgainUio));
process.exit();

async function compute(address: PciAddress): Promise<void> {
  using device = backend.pci.open(address, { dmaMask: DMA_MASK });
  using edu = new Edu(device, backend.clock);
  await again(() => edu.factorial(12));
}
