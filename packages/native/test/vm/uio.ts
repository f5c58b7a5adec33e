/**
 * Runs in the guest: UIO's own rules, and the backend over it, with an edu device that uio_pci_generic has (`usrdrv bind`).
 * Prints a line for each check, and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  bindDriver,
  EAGAIN,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOSYS,
  MAP_SHARED,
  O_NONBLOCK,
  O_RDWR,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  type PciDevice,
  POLLIN,
  PROT_READ,
  PROT_WRITE,
  virtualAddress,
} from '@usrdrv/core';
import { DMA_MASK, eduDriver } from '@usrdrv/drivers/edu';
import { openBackend, uioBackend } from '@usrdrv/native';
import { RealtimeIrq } from '@usrdrv/native/realtime';
import { type Checks, runChecks, succeeds } from './checks.ts';
import { ACKNOWLEDGE, RAISE } from './edu-registers.ts';
import { ARRIVAL_MS, readSyncTakesInterrupts, tryReadLeavesNobodyBehind } from './irq-checks.ts';
import { address, buf, count, kernel, masked, node, open, total } from './uio-guest.ts';

const ROUNDS = 200;
const NULL = virtualAddress(0n);
/** Nothing is there. */
const HOLE = virtualAddress(0x1000n);

const { thread } = kernel.process;

const checks: Checks = {
  'openBackend takes uio for a function that has a node, and says why it is not usrdrv': () => {
    using backend = openBackend({ device: address });
    assert.equal(backend.name, 'uio');
    const [usrdrv] = backend.passedOver;
    assert.equal(usrdrv?.reason, `${address} is bound to uio_pci_generic`);
    assert.equal(usrdrv?.remedy, `usrdrv bind ${address} --to none`);
  },

  'readSync takes an interrupt, and read goes on after it': async () => {
    using device = open();
    const source = device.irq();
    using irq = new RealtimeIrq(source);
    const bar = device.bar(0);
    await readSyncTakesInterrupts(source, irq, bar);
    const again = source.read();
    bar.write32(RAISE, 1);
    assert.equal(await again, 1);
    bar.write32(ACKNOWLEDGE, 0xffff_ffff);
  },

  'a read that waits hears of the next interrupt where tryRead has taken the one before': async () => {
    using device = open();
    using irq = device.irq();
    await tryReadLeavesNobodyBehind(irq, device.bar(0));
  },

  'N1 a read takes 4 bytes and no other length; nothing new is EAGAIN; EFAULT leaves the snapshot': async () => {
    using device = open();
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    for (const length of [1, 3, 5, 8]) assert.equal(thread.read(fd, buf, length), -EINVAL);
    assert.equal(thread.read(fd, buf, 4), -EAGAIN);
    await interrupt(device);
    assert.equal(thread.read(fd, HOLE, 4), -EFAULT);
    assert.equal(thread.read(fd, buf, 4), 4);
    assert.equal(count.getInt32(0, true), total());
    assert.equal(thread.read(fd, buf, 4), -EAGAIN);
    thread.close(fd);
  },

  'N2 N5 every open has a snapshot of its own, and all hear of each event': async () => {
    using device = open();
    const fds = [succeeds(thread.open(node, O_RDWR | O_NONBLOCK)), succeeds(thread.open(node, O_RDWR | O_NONBLOCK))];
    await interrupt(device);
    const late = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    assert.deepEqual(
      fds.map((fd) => thread.read(fd, buf, 4)),
      [4, 4],
    );
    assert.equal(thread.read(late, buf, 4), -EAGAIN);
    for (const fd of [...fds, late]) thread.close(fd);
  },

  'N3 N8 the line is masked at the device as it fires, and poll leaves it so': async () => {
    using device = open();
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    await interrupt(device);
    assert(masked(device));
    assert.equal(await thread.poll([{ fd, events: POLLIN, revents: 0 }], 0), 1);
    assert.equal(thread.read(fd, buf, 4), 4);
    assert.equal(await thread.poll([{ fd, events: POLLIN, revents: 0 }], 20), 0);
    assert(masked(device));
    using irq = device.irq();
    assert.equal(irq.tryRead(), undefined);
    assert(!masked(device));
    thread.close(fd);
  },

  'N4 a write of another length than 4 is EINVAL; uio_pci_generic has no irqcontrol, ENOSYS': () => {
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    for (const length of [1, 3, 8]) assert.equal(thread.write(fd, buf, length), -EINVAL);
    assert.equal(thread.write(fd, buf, 4), -ENOSYS);
    thread.close(fd);
  },

  'N6 mmap of a map that is not there is EINVAL': () => {
    const fd = succeeds(thread.open(node, O_RDWR | O_NONBLOCK));
    for (const map of [4n, 5n, 1000n]) {
      const offset = map * BigInt(PAGE_SIZE);
      assert.equal(thread.mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset), -EINVAL);
    }
    thread.close(fd);
  },

  'a file that is no UIO node, though it has the name of one, is ENODEV, and says what to do': () => {
    renameSync(node, `${node}.away`);
    try {
      for (const make of [() => writeFileSync(node, ''), () => symlinkSync('/dev/zero', node)]) {
        make();
        assert.throws(() => open(), {
          code: 'ENODEV',
          message: /is no UIO node: remove the file, and bind the function/,
        });
        rmSync(node);
      }
      assert.throws(() => open(), { code: 'ENOENT' });
    } finally {
      renameSync(`${node}.away`, node);
    }
    open().close();
  },

  'N8 closing the node anywhere takes bus mastering away; opening the device gives it back': () => {
    using device = open();
    assert(isMaster(device));
    thread.close(succeeds(thread.open(node, O_RDWR)));
    assert(!isMaster(device));
    device.close();
    using again = open();
    assert(isMaster(again));
  },

  [`await irq.read() takes ${ROUNDS} interrupts over uio, one at a time`]: async () => {
    using device = open();
    using irq = device.irq();
    const registers = device.bar(0);
    for (let round = 0; round < ROUNDS; round++) {
      const read = irq.read();
      registers.write32(RAISE, 1);
      assert.equal(await read, 1);
      registers.write32(ACKNOWLEDGE, 1);
    }
  },

  'drivers/edu computes factorials by interrupts over uio, unchanged': async () => {
    using backend = uioBackend();
    using bindings = await bindDriver(backend, eduDriver());
    const [bound] = bindings.bound;
    assert(bound !== undefined, String(bindings.failed[0]?.error));
    let product = 1;
    for (let n = 1; n <= 12; n++) {
      product *= n;
      assert.equal(await bound.instance.factorial(n), product);
    }
    assert(bound.instance.interrupts >= 12);
  },

  'there is no DMA: usr_pci_open is EBUSY while the function has a node, and supports says so': () => {
    const { domain, bus, slot, function: fn } = address;
    assert.equal(thread.usrPciOpen(bus, slot, fn, DMA_MASK, domain), -EBUSY);
    using backend = uioBackend();
    assert.equal(backend.supports.dma, false);
    assert.match(backend.supports.reasons?.dma ?? '', /EBUSY for usr_pci_open/);
    using device = backend.pci.open(address, { dmaMask: DMA_MASK });
    assert.throws(() => device.dma.allocConsistent(PAGE_SIZE), { code: 'ENOSYS', message: /EBUSY for usr_pci_open/ });
  },
};

await runChecks(checks);
// Some backends were left open.
process.exit();

/** One interrupt, which leaves the line masked. */
async function interrupt(device: PciDevice): Promise<void> {
  // Whoever opens the interrupt starts with the line unmasked.
  device.irq().close();
  const before = total();
  device.bar(0).write32(RAISE, 1);
  for (let waited = 0; total() === before && waited < ARRIVAL_MS; waited++) await delay(1);
  device.bar(0).write32(ACKNOWLEDGE, 1);
  assert.equal(total() - before, 1);
}

function isMaster({ config }: PciDevice): boolean {
  return (config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER) !== 0;
}
