/**
 * The interrupt round of irq-round.bench.ts through `await irq.read()`, against a bare promise ping-pong. Each kernel in a
 * process of its own: a driver's process has one kernel too, and V8 compiles for what it has seen.
 */
import type { KernelProfile } from '@usrdrv/core';
import { EduDevice, emulated } from '@usrdrv/emu';
import { type Contestant, compare, eachAlone, only } from './compare.ts';

const RAISED = 1;
const ACKNOWLEDGE = 0x64;

const KERNELS: readonly KernelProfile[] = ['usrdrv-6.1', 'chubb-2.6.11'];

const kernel = KERNELS.find((each) => each === only);
if (kernel === undefined) eachAlone(KERNELS);
else await compare('an interrupt round, awaited', [promisePingPong(), awaitedRead(kernel)]);

/**
 * Two coroutines that hand over to each other, with nothing but promises: as many awaits as the round has at its least, one
 * of the driver's for the interrupt, and one of the device's for the acknowledgement.
 */
function promisePingPong(): Contestant {
  return {
    name: 'promise ping-pong',
    async run(rounds) {
      let wakePong: () => void = () => {};
      let wakePing: () => void = () => {};
      const pong = async (): Promise<void> => {
        for (let round = 0; round < rounds; round++) {
          await new Promise<void>((resolve) => {
            wakePong = resolve;
          });
          wakePing();
        }
      };
      const done = pong();
      for (let round = 0; round < rounds; round++) {
        const answered = new Promise<void>((resolve) => {
          wakePing = resolve;
        });
        wakePong();
        await answered;
      }
      await done;
    },
  };
}

/** The driver waits with `await irq.read()`, and the device waits for the driver's acknowledgement. */
function awaitedRead(kernel: KernelProfile): Contestant {
  const edu = new EduDevice();
  const backend = emulated({ kernel, devices: [edu] });
  const irq = backend.openIrq(16);
  return {
    name: `await irq.read() on ${kernel}`,
    async run(rounds) {
      let acknowledged: () => void = () => {};
      const driver = async (): Promise<void> => {
        for (let round = 0; round < rounds; round++) {
          await irq.read();
          edu.write(ACKNOWLEDGE, RAISED, 4);
          acknowledged();
        }
      };
      const done = driver();
      for (let round = 0; round < rounds; round++) {
        const answered = new Promise<void>((resolve) => {
          acknowledged = resolve;
        });
        edu.raise(RAISED);
        await answered;
      }
      await done;
    },
  };
}
