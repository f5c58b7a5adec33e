/**
 * Runs in the guest: the backend over the node of a stub driver, with irqcontrol, that acknowledges the device in the kernel
 * (packages/kernel-patch/samples/uio_edu.c). Prints a line for each check, and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EINVAL, O_NONBLOCK, O_RDWR } from '@usrdrv/core';
import { uioBackend } from '@usrdrv/native';
import { type Checks, runChecks, succeeds } from './checks.ts';
import { INTERRUPT_STATUS, RAISE } from './edu-registers.ts';
import { address, buf, count, kernel, masked, node, open, total } from './uio-guest.ts';

/** QEMU, docs/specs/edu.rst */
const FACTORIAL = 0x08;
const STATUS = 0x20;
const INTERRUPT_WHEN_DONE = 0x80;
const ROUNDS = 200;
/** More than an interrupt takes from the device to the kernel, also on a host that has other things to do. */
const ARRIVAL_MS = 2000;
/** What an interrupt takes that is not masked. */
const SOON_MS = 50;

const { thread } = kernel.process;

const checks: Checks = {
  'supports says that the line may not be masked as it fires, and whose it is': () => {
    using backend = uioBackend();
    assert.equal(backend.supports.masksUntilNextWait, false);
    assert.match(backend.supports.reasons?.masksUntilNextWait ?? '', new RegExp(`^${address} .* driver uio_edu`));
  },

  'N6 BAR 0 is the first of the node’s maps, and nothing of it stays mapped': () => {
    using device = open();
    assert.equal(device.bar(0).read32(0), 0x0100_00ed);
    assert.equal(device.bar(0).length, 0x10_0000);
    assert.match(mappings(), new RegExp(`${node}$`, 'm'));
    assert.doesNotMatch(mappings(), /\/resource\d$/m);
    device.close();
    assert.doesNotMatch(mappings(), /\/dev\/uio\d/);
  },

  'N1 the kernel acknowledges; a read has all interrupts since the last': async () => {
    using device = open();
    using irq = device.irq();
    for (const interrupts of [1, 5]) {
      for (let nth = 0; nth < interrupts; nth++) {
        const before = total();
        device.bar(0).write32(RAISE, 1);
        await until(() => total() === before + 1);
        assert.equal(device.bar(0).read32(INTERRUPT_STATUS), 0);
      }
      assert.equal(await irq.read(), interrupts);
      assert.equal(irq.tryRead(), undefined);
    }
  },

  [`await irq.read() takes ${ROUNDS} interrupts, one at a time`]: async () => {
    using device = open();
    using irq = device.irq();
    for (let round = 0; round < ROUNDS; round++) {
      const read = irq.read();
      device.bar(0).write32(RAISE, 1);
      assert.equal(await read, 1);
    }
  },

  'N4 irqcontrol masks at the device with 0 and unmasks with 1; another length than 4 is EINVAL': async () => {
    using device = open();
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    for (const length of [1, 3, 8]) assert.equal(thread.write(fd, buf, length), -EINVAL);
    tell(fd, 0);
    assert(masked(device));
    const before = total();
    device.bar(0).write32(RAISE, 1);
    await delay(SOON_MS);
    assert.equal(total(), before);
    assert.equal(device.bar(0).read32(INTERRUPT_STATUS), 1);
    tell(fd, 1);
    await until(() => total() === before + 1);
    assert.equal(device.bar(0).read32(INTERRUPT_STATUS), 0);
    thread.close(fd);
  },

  'N4 a wait unmasks by irqcontrol': async () => {
    using device = open();
    using irq = device.irq();
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    for (const wait of [() => irq.tryRead(), () => irq.poll({ timeoutMs: 1 })]) {
      tell(fd, 0);
      assert(masked(device));
      await wait();
      assert(!masked(device));
    }
    tell(fd, 0);
    device.bar(0).write32(RAISE, 1);
    assert.equal(await irq.read(), 1);
    thread.close(fd);
  },

  'factorials by interrupts: drivers/edu asks the device itself what it is for, and would be told nothing':
    async () => {
      using device = open();
      using irq = device.irq();
      const registers = device.bar(0);
      registers.write32(STATUS, INTERRUPT_WHEN_DONE);
      let product = 1;
      for (let n = 1; n <= 12; n++) {
        product *= n;
        const read = irq.read();
        registers.write32(FACTORIAL, n);
        assert.equal(await read, 1);
        assert.equal(registers.read32(FACTORIAL), product);
      }
      registers.write32(STATUS, 0);
    },
};

await runChecks(checks);
// Some backends were left open.
process.exit();

function tell(fd: number, irqOn: 0 | 1): void {
  count.setInt32(0, irqOn, true);
  assert.equal(thread.write(fd, buf, 4), 4);
}

async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited++) {
    assert(waited < ARRIVAL_MS, `${holds} within ${ARRIVAL_MS} ms`);
    await delay(1);
  }
}

function mappings(): string {
  return readFileSync('/proc/self/maps', 'utf8');
}
