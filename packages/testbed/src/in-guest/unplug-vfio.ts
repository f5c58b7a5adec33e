/**
 * In the guest: two edu devices that vfio-pci has are pulled out while a reader, a poller and a driver use them and memory is
 * mapped for them. Prints `ready` when they are in use, what became of it as JSON (an {@link UnpluggedVfio}) once the host has
 * unplugged both, and what works then (a {@link PluggedAgainVfio}) once the host has plugged them in again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { bindDriver, PAGE_SIZE, type PciAddress, SystemError } from '@usrdrv/core';
import { DMA_MASK, Edu, echo, eduDriver } from '@usrdrv/drivers/edu';
import { vfioBackend } from '@usrdrv/native';
import { bindAll, edus, unbindAll } from './edus.ts';
import { again, codeOf, held } from './outcome.ts';

/** What became of what was in use; errors by their code. */
export interface UnpluggedVfio {
  /** `irq.read()`, and `irq.poll()` with `tryRead()` after it, asleep on a line that is silent. */
  readonly read: string;
  readonly poll: string;
  /** A driver in the middle of transfers. */
  readonly driver: string;
  /** A device that is still open, asked for its configuration space; and why `removed` was aborted. */
  readonly config: string;
  readonly removed: string;
  /** Whether memory that was mapped is the process's, as before. */
  readonly memory: boolean;
  /** Descriptors and mappings of the devices and their groups that are left when all has been closed. */
  readonly held: readonly string[];
}

/** What works with the devices that were plugged in afterwards. */
export interface PluggedAgainVfio {
  /** Bytes that a driver sent through each and back, by INTx and by MSI. */
  readonly echoed: readonly number[];
}

const OF_A_DEVICE = /\/dev\/vfio\/|vfio-device/;
/** QEMU 7.2 ends when a transfer touches the last byte of edu's buffer of 4096. */
const BLOCK = 4095;

using backend = vfioBackend();
const [first, second] = bindAll(backend, 'vfio-pci');
if (first === undefined || second === undefined) throw new Error('there are no two edu devices');

const pulled = await (async (): Promise<UnpluggedVfio> => {
  using device = backend.pci.open(first, { dmaMask: DMA_MASK });
  const irq = device.irq();
  const memory = device.dma.allocUser(3 * PAGE_SIZE);
  const mapping = device.dma.map(memory, 'bidirectional');
  const consistent = device.dma.allocConsistent(PAGE_SIZE);
  // In QEMU a line may interrupt once, falsely: counts are passed over.
  const read = codeOf(again(() => irq.read()));
  const poll = codeOf(again(async () => (await irq.poll()) && irq.tryRead()));
  const driver = codeOf(transfer(second));
  await delay(300);
  console.log('ready');

  const outcome = { read: await read, poll: await poll, driver: await driver };
  const config = await codeOf((async () => device.config.read16(0))());
  const reason: unknown = device.removed.reason;
  for (const { bytes } of [memory, consistent]) bytes.fill(7);
  const there = [memory, consistent].every(({ bytes }) => bytes.every((byte) => byte === 7));
  mapping.unmap();
  device.close();
  while (edus(backend).length > 0) await delay(50);
  const removed = reason instanceof SystemError ? reason.code : String(reason);
  return { ...outcome, config, removed, memory: there, held: held(OF_A_DEVICE) };
})();
console.log(JSON.stringify(pulled));

while (edus(backend).length < 2) await delay(50);
// The kernel may still be at work on the second.
await delay(200);
bindAll(backend, 'vfio-pci');
const echoed: number[] = [];
for (const msi of [false, true]) {
  using bindings = await bindDriver(backend, eduDriver({ msi, bufferSize: BLOCK }));
  for (const { error } of bindings.failed) throw error;
  for (const { instance } of bindings.bound) echoed.push(await sendThrough(instance));
}
unbindAll(backend, 'vfio-pci');
console.log(JSON.stringify({ echoed } satisfies PluggedAgainVfio));
process.exit();

async function transfer(address: PciAddress): Promise<void> {
  using device = backend.pci.open(address, { dmaMask: DMA_MASK });
  using edu = new Edu(device, backend.clock, { bufferSize: BLOCK });
  await again(() => sendThrough(edu));
}

async function sendThrough(edu: Edu): Promise<number> {
  const bytes = new Uint8Array(100).fill(0x5a);
  for await (const { sent, received } of echo(edu, [bytes])) {
    if (received.some((byte, at) => byte !== sent[at])) throw new Error('something else came back');
  }
  return bytes.length;
}
