/**
 * One interrupt round: the device raises, the handler masks and counts, a read returns the count, the device is
 * acknowledged, the next read finds nothing and unmasks. On bare function calls with no kernel between (the reference),
 * on the emulated kernel at system-call level, and through `await irq.read()` against a bare promise ping-pong.
 */
import { type KernelProfile, O_NONBLOCK, O_RDONLY, virtualAddress } from '@usrdrv/core';
import { type DeviceBus, EduDevice, emulated } from '@usrdrv/emu';
import { type Contestant, compare } from './compare.ts';

const RAISED = 1;
const ACKNOWLEDGE = 0x64;

await compare('an interrupt round, synchronous', [
  bareFunctions(),
  systemCalls('usrdrv-6.1'),
  systemCalls('chubb-2.6.11'),
]);
await compare('an interrupt round, awaited', [
  promisePingPong(),
  awaitedRead('usrdrv-6.1'),
  awaitedRead('chubb-2.6.11'),
]);

/** The same device model and the same steps as functions that call each other: a mask, a count, four bytes. */
function bareFunctions(): Contestant {
  const edu = new EduDevice();
  const bytes = new DataView(new ArrayBuffer(4));
  let asserted = false;
  let masked = false;
  let count = 0;
  const handler = (): void => {
    masked = true;
    count++;
  };
  const read = (): number => {
    if (count === 0) {
      masked = false;
      if (asserted) handler();
      if (count === 0) return -11;
    }
    bytes.setInt32(0, count, true);
    count = 0;
    return 4;
  };
  const bus: DeviceBus = {
    now: 0,
    after: () => ({ cancel() {} }),
    dmaRead: () => false,
    dmaWrite: () => false,
    raiseInterrupt() {
      asserted = true;
      if (!masked) handler();
    },
    lowerInterrupt() {
      asserted = false;
    },
  };
  edu.attach(bus);
  return {
    name: 'bare function calls',
    run(rounds) {
      for (let round = 0; round < rounds; round++) {
        edu.raise(RAISED);
        if (read() !== 4) throw new Error('the interrupt did not arrive');
        edu.write(ACKNOWLEDGE, RAISED, 4);
        if (read() >= 0) throw new Error('a second interrupt arrived');
      }
    },
  };
}

function systemCalls(kernel: KernelProfile): Contestant {
  const edu = new EduDevice();
  const { machine } = emulated({ kernel, devices: [edu] });
  const { thread } = machine.kernel.process;
  const [fd, buf] = [thread.open('/proc/irq/16/irq', O_RDONLY | O_NONBLOCK), page(thread)];
  return {
    name: `read(2) on ${kernel}`,
    run(rounds) {
      for (let round = 0; round < rounds; round++) {
        edu.raise(RAISED);
        if (thread.read(fd, buf, 4) !== 4) throw new Error('the interrupt did not arrive');
        edu.write(ACKNOWLEDGE, RAISED, 4);
        if (Number(thread.read(fd, buf, 4)) >= 0) throw new Error('a second interrupt arrived');
      }
    },
  };
}

/** Two coroutines that hand over to each other, with nothing but promises. */
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

function page(thread: {
  mmap(...args: readonly [ReturnType<typeof virtualAddress>, number, number, number, number, bigint]): unknown;
}): ReturnType<typeof virtualAddress> {
  const address = thread.mmap(virtualAddress(0), 4096, 3, 0x22, -1, 0n);
  if (typeof address !== 'bigint') throw new Error(`mmap returned ${String(address)}`);
  return virtualAddress(address);
}
