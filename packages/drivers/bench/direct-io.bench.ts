// Direct I/O through edu: what it takes beyond the device's own time (goal: under 5 % of virtual time), what a chunk costs the
// processor, as a ratio to a loop that does no more than start the device and wait, and what it copies: no byte of what is
// transferred.
import { bindDriver } from '@usrdrv/core';
import { BUFFER_SIZE, DMA_DONE, eduDriver, eduRegisters } from '@usrdrv/drivers/edu';
import { EduDevice, emulated } from '@usrdrv/emu';

const CHUNKS = 256;
const ROUNDS = 15;
const SLOT = '0000:00:04.0';

let [bare, direct] = [await bareLoop(), await directIo(BUFFER_SIZE)];
const virtualBare = bare.virtualMs;
const overhead = direct.virtualMs / virtualBare - 1;
for (let round = 0; round < ROUNDS; round++) {
  bare = fastest(bare, await bareLoop());
  direct = fastest(direct, await directIo(BUFFER_SIZE));
}
const [perChunk, perBare] = [direct.cpuMs / CHUNKS, bare.cpuMs / CHUNKS].map((ms) => ms * 1000);
const smallest = await directIo(1);

console.log(`${CHUNKS} chunks of ${BUFFER_SIZE} bytes, each an interrupt`);
console.log(
  `virtual time: ${direct.virtualMs.toFixed(2)} ms, the bare waits ${virtualBare.toFixed(2)} ms: ` +
    `${(overhead * 100).toFixed(3)} % more (goal: under 5 %)`,
);
console.log(
  `processor time: ${perChunk?.toFixed(1)} us a chunk, a bare start and wait ${perBare?.toFixed(1)} us: ` +
    `${(direct.cpuMs / bare.cpuMs).toFixed(2)} times`,
);
console.log(
  `copied between kernel and process: ${direct.copied / CHUNKS} bytes a chunk of ${BUFFER_SIZE}, ` +
    `${smallest.copied / CHUNKS} a chunk of 1 (the call's arguments): ` +
    `${(direct.copied - smallest.copied) / CHUNKS} of the bytes transferred`,
);
if (overhead >= 0.05 || direct.copied !== smallest.copied) process.exitCode = 1;

interface Cost {
  readonly virtualMs: number;
  /** Of this process: it does not depend on what else the machine does. */
  readonly cpuMs: number;
  /** Bytes that the kernel copied from or to the process. */
  readonly copied: number;
}

function fastest(a: Cost, b: Cost): Cost {
  return a.cpuMs < b.cpuMs ? a : b;
}

async function directIo(bufferSize: number): Promise<Cost> {
  using backend = emulated({ devices: [new EduDevice()] });
  using bindings = await bindDriver(backend, eduDriver({ bufferSize }));
  const [binding] = bindings.bound;
  if (binding === undefined) throw new Error('there is no edu device');
  using memory = binding.device.dma.allocUser(CHUNKS * bufferSize);
  return await measured(backend, () => binding.instance.directIo.write(memory));
}

/** The device's registers and its interrupt, and memory that stays mapped: no driver could do less. */
async function bareLoop(): Promise<Cost> {
  using backend = emulated({ devices: [new EduDevice()] });
  using device = backend.pci.open(SLOT, { dmaMask: 0xfff_ffffn });
  const registers = eduRegisters.bind(device.bar(0));
  using irq = device.irq();
  using memory = device.dma.allocUser(BUFFER_SIZE);
  using mapping = device.dma.map(memory, 'to-device');
  const [segment] = mapping.segments;
  if (segment === undefined) throw new Error('nothing was mapped');
  return await measured(backend, async () => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      registers.dmaSource.write(segment.busAddress);
      registers.dmaDestination.write(0x4_0000n);
      registers.dmaCount.write(BUFFER_SIZE);
      registers.dmaCommand.write({ run: true, direction: 'toDevice', interruptWhenDone: true });
      await irq.read();
      registers.interruptAcknowledge.write(DMA_DONE);
    }
  });
}

async function measured({ machine, clock }: ReturnType<typeof emulated>, run: () => Promise<unknown>): Promise<Cost> {
  const { mm } = machine.kernel.process;
  const [copied, virtual, cpu] = [mm.copied, clock.now(), process.cpuUsage()];
  await run();
  return {
    virtualMs: Number(clock.now() - virtual) / 1e6,
    cpuMs: milliseconds(process.cpuUsage(cpu)),
    copied: mm.copied - copied,
  };
}

function milliseconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000;
}
