/**
 * In the guest: two edu devices are pulled out while everything of them is in use. Prints `ready` when it is, what became of
 * it as JSON (an {@link Unplugged}) once the host has unplugged both, and what works then (a {@link PluggedAgain}) once the
 * host has plugged them in again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  bindDriver,
  errnoName,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_RDONLY,
  PAGE_SIZE,
  type PciAddress,
  POLLIN,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { DMA_MASK, Edu, echo, eduDriver } from '@usrdrv/drivers/edu';
import { LinuxKernel, usrdrvBackend } from '@usrdrv/native';
import { edus } from './edus.ts';

/** What became of what was in use; errors by their name. */
export interface Unplugged {
  /** A blocking read of the irq file, in the kernel, and a poll(2). */
  readonly read: string;
  readonly poll: string;
  /** A driver in the middle of transfers. */
  readonly driver: string;
  /** Whether consistent memory is still there (U2). */
  readonly consistent: boolean;
  /** The functions that are left on the buses. */
  readonly left: number;
}

/** What works with the devices that were plugged in afterwards. */
export interface PluggedAgain {
  readonly devices: number;
  /** Bytes that a driver sent through each and back. */
  readonly echoed: readonly number[];
}

const kernel = new LinuxKernel();
const { thread } = kernel.process;
using backend = usrdrvBackend();
const [first, second] = edus(backend);
if (first === undefined || second === undefined) throw new Error('there are no two edu devices');

const pulled = await (async (): Promise<Unplugged> => {
  const device = backend.pci.open(first, { dmaMask: DMA_MASK });
  const mapping = device.dma.map(device.dma.allocUser(5 * PAGE_SIZE), 'bidirectional');
  const consistent = device.dma.allocConsistent(PAGE_SIZE);
  const line = Number(new TextDecoder().decode(kernel.files.readFileSync(`/sys/bus/pci/devices/${first}/irq`)));
  const fd = thread.open(`/proc/irq/${line}/irq`, O_RDONLY);
  const page = thread.mmap(virtualAddress(0n), PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (typeof page === 'number') throw SystemError.fromResult(page, 'mmap');
  const read = readUntilItFails(fd, page);
  const entry: PollFd = { fd, events: POLLIN, revents: 0 };
  const poll = pollUntilItFails(entry);
  const driver = transferUntilItFails(second);
  await delay(300);
  console.log('ready');

  const outcome = {
    read: name(await read),
    poll: `${name(await poll)} 0x${entry.revents.toString(16)}`,
    driver: await driver,
  };
  consistent.bytes.fill(7);
  const there = consistent.bytes.every((byte) => byte === 7);
  mapping.unmap();
  thread.close(fd);
  device.close();
  while (edus(backend).length > 0) await delay(50);
  return { ...outcome, consistent: there, left: edus(backend).length };
})();
console.log(JSON.stringify(pulled));

while (edus(backend).length < 2) await delay(50);
const echoed: number[] = [];
// The kernel may still be at work on the second.
await delay(200);
for (const msi of [false, true]) {
  using bindings = await bindDriver(backend, eduDriver({ msi }));
  for (const { error } of bindings.failed) throw error;
  for (const { instance } of bindings.bound) echoed.push(await sendThrough(instance));
}
console.log(JSON.stringify({ devices: edus(backend).length, echoed } satisfies PluggedAgain));
process.exit();

/** In QEMU a line that fell while nobody had it open interrupts once, falsely: counts are passed over. */
async function readUntilItFails(fd: number, buf: VirtualAddress): Promise<number> {
  for (;;) {
    const result = await thread.read(fd, buf, 4);
    if (result !== 4) return result;
  }
}

async function pollUntilItFails(entry: PollFd): Promise<number> {
  for (;;) {
    const result = await thread.poll([entry], -1);
    if (result !== 1 || entry.revents !== POLLIN) return result;
    await delay(1);
  }
}

async function transferUntilItFails(address: PciAddress): Promise<string> {
  using device = backend.pci.open(address, { dmaMask: DMA_MASK });
  using edu = new Edu(device, backend.clock);
  try {
    for (;;) await sendThrough(edu);
  } catch (error) {
    return error instanceof SystemError ? error.code : String(error);
  }
}

async function sendThrough(edu: Edu): Promise<number> {
  const bytes = new Uint8Array(100).fill(0x5a);
  for await (const { sent, received } of echo(edu, [bytes])) {
    if (received.some((byte, at) => byte !== sent[at])) throw new Error('something else came back');
  }
  return bytes.length;
}

function name(result: number): string {
  return result < 0 ? errnoName(result) : String(result);
}
