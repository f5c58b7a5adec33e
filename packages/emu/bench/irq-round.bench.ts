/**
 * One interrupt round: the device raises, the handler masks and counts, a read returns the count, the driver acknowledges
 * the device, the next read finds nothing and unmasks. On bare function calls with no kernel between (the reference), and on
 * the emulated kernel at system-call level. irq-await.bench.ts has the same through `await irq.read()`.
 *
 * It is measured twice: with the device reached through its registers, as a driver reaches it, and
 * with its model called directly, where V8 inlines the whole reference into a few nanoseconds.
 */
import {
  type Backend,
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_NONBLOCK,
  O_RDONLY,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  virtualAddress,
} from '@usrdrv/core';
import { EduDevice, emulated } from '@usrdrv/emu';
import { type Contestant, compare } from './compare.ts';

const RAISED = 1;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

await compare("an interrupt round, synchronous, through the device's registers", [
  bareFunctions('registers'),
  systemCalls('usrdrv-6.1', 'registers'),
  systemCalls('chubb-2.6.11', 'registers'),
]);
await compare("an interrupt round, synchronous, on the device's model", [
  bareFunctions('model'),
  systemCalls('usrdrv-6.1', 'model'),
  systemCalls('chubb-2.6.11', 'model'),
]);

/** How the device is reached: its registers on the bus, or its model. */
type Reach = 'registers' | 'model';

/** The device's two ends of a round. */
function ends(reach: Reach, edu: EduDevice, backend: Backend): { raise(): void; acknowledge(): void } {
  if (reach === 'model') {
    return { raise: () => edu.raise(RAISED), acknowledge: () => edu.write(ACKNOWLEDGE, RAISED, 4) };
  }
  const registers = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn }).bar(0);
  return {
    raise: () => registers.write32(RAISE, RAISED),
    acknowledge: () => registers.write32(ACKNOWLEDGE, RAISED),
  };
}

/** The same device, whose line nobody has opened, and functions that call each other: a mask, a count, four bytes. */
function bareFunctions(reach: Reach): Contestant {
  const edu = new EduDevice();
  const { raise, acknowledge } = ends(reach, edu, emulated({ devices: [edu] }));
  const bytes = new DataView(new ArrayBuffer(4));
  let asserted = false;
  let masked = false;
  let count = 0;
  const handler = (): void => {
    masked = true;
    count++;
  };
  const interrupt = (level: boolean): void => {
    asserted = level;
    if (asserted && !masked) handler();
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
  return {
    name: 'bare function calls',
    run(rounds) {
      for (let round = 0; round < rounds; round++) {
        raise();
        interrupt(true);
        if (read() !== 4) throw new Error('the interrupt did not arrive');
        acknowledge();
        interrupt(false);
        if (read() >= 0) throw new Error('a second interrupt arrived');
      }
    },
  };
}

function systemCalls(kernel: KernelProfile, reach: Reach): Contestant {
  const edu = new EduDevice();
  const backend = emulated({ kernel, devices: [edu] });
  const { raise, acknowledge } = ends(reach, edu, backend);
  const { thread } = backend.machine.kernel.process;
  const fd = thread.open('/proc/irq/16/irq', O_RDONLY | O_NONBLOCK);
  const buf = thread.mmap(virtualAddress(0), PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (fd < 0 || typeof buf === 'number') throw new Error(`open returned ${fd}, mmap ${buf}`);
  return {
    name: `read(2) on ${kernel}`,
    run(rounds) {
      for (let round = 0; round < rounds; round++) {
        raise();
        if (thread.read(fd, buf, 4) !== 4) throw new Error('the interrupt did not arrive');
        acknowledge();
        if (Number(thread.read(fd, buf, 4)) >= 0) throw new Error('a second interrupt arrived');
      }
    },
  };
}
