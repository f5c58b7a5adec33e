// edu's round trip: a file's blocks by DMA into the device and back, an interrupt after each. The goal is 100 MB/s of DMA,
// both ways together, and a cost that grows with the size and nothing else.
import { bindDriver } from '@usrdrv/core';
import { echo, eduDriver } from '@usrdrv/drivers/edu';
import { EduDevice, emulated } from '@usrdrv/emu';

const MIB = 2 ** 20;
const SIZES = [1, 4, 16];
// The first rounds on a new machine run code that is not optimised for it yet.
const ROUNDS = 20;

await run(16);
const perMib: number[] = [];
for (const mib of SIZES) {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) times.push(await run(mib));
  const ms = Math.min(...times) / mib;
  perMib.push(ms);
  const rate = (2 * MIB) / 1e6 / (ms / 1000);
  console.log(`${String(mib).padStart(3)} MiB: ${rate.toFixed(0)} MB/s both ways, ${ms.toFixed(2)} ms for each MiB`);
}
const [first = 0, last = 0] = [perMib.at(0), perMib.at(-1)];
console.log(`a MiB of ${SIZES.at(-1)} costs ${(last / first).toFixed(2)} times as much as one alone (linear: 1)`);

/** Milliseconds of real time for so many MiB. */
async function run(mib: number): Promise<number> {
  using backend = emulated({ devices: [new EduDevice()] });
  using bindings = await bindDriver(backend, eduDriver());
  const edu = bindings.bound[0]?.instance;
  if (edu === undefined) throw new Error('there is no edu device');
  const input = Array.from({ length: mib }, (_, at) => new Uint8Array(MIB).fill(at + 1));
  const start = performance.now();
  let same = true;
  for await (const { sent, received } of echo(edu, input)) same &&= sent[0] === received[0];
  const ms = performance.now() - start;
  if (!same) throw new Error('something else came back');
  return ms;
}
