/**
 * Runs in the guest: vfioBackend on a kernel that has VFIO, with QEMU's edu devices and its e1000e, which it gives to
 * vfio-pci meanwhile. Prints a line for each check, and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { bindDriver, type IrqSource, type MmioRegion, PAGE_SIZE, type SystemError } from '@usrdrv/core';
import { Edu, eduDriver } from '@usrdrv/drivers/edu';
import { openBackend, surveyBackends, type VfioDevice, vfioBackend } from '@usrdrv/native';
import { RealtimeIrq } from '@usrdrv/native/realtime';
import { type Checks, runChecks } from './checks.ts';
import { ACKNOWLEDGE, INTERRUPT_STATUS, RAISE } from './edu-registers.ts';
import { readSyncTakesInterrupts, tryReadLeavesNobodyBehind } from './irq-checks.ts';
import { BLOCK, bind, functions, MASK_28 } from './vfio-guest.ts';
import { requestChecks } from './vfio-requests.ts';

const SELF = fileURLToPath(import.meta.url);
const EDUS = functions('0x1234', '0x11e8');
const [FIRST = '', SECOND = ''] = EDUS;
const [E1000E = ''] = functions('0x8086', '0x10d3');
/** Of the user that is not root. */
const UID = 1000;
const MEMLOCK_KIB = 64;
/** Where edu's own memory is, as its DMA engine sees it. */
const EDU_BUFFER = 0x40000n;
const ENTRY_LIMIT = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';

const checks: Checks = {
  'an interrupt is taken again and again by INTx, and by MSI': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    for (const vector of [undefined, 0]) {
      using irq = device.irq(vector);
      await interrupts(device, irq);
    }
  },

  'readSync takes an interrupt by INTx, and by MSI, and read goes on after it': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    const bar = device.bar(0);
    for (const vector of [undefined, 0]) {
      const source = device.irq(vector);
      using irq = new RealtimeIrq(source);
      await readSyncTakesInterrupts(source, irq, bar);
      await interrupts(device, source);
      irq.close();
      assert.throws(() => irq.readSync(), /EBADF/);
    }
  },

  'a read that waits hears of the next interrupt where tryRead has taken the one before': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    using irq = device.irq();
    await tryReadLeavesNobodyBehind(irq, device.bar(0));
  },

  'edu sends data to itself and back by DMA, with INTx and with MSI, two devices at once': async () => {
    using backend = vfioBackend();
    for (const msi of [false, true]) {
      using bindings = await bindDriver(backend, eduDriver({ msi, bufferSize: BLOCK }));
      assert.deepEqual(bindings.failed, []);
      assert.equal(bindings.bound.length, 2);
      await Promise.all(bindings.bound.map(({ instance }) => echo(instance)));
    }
  },

  'V4 direct I/O at any size and alignment': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    using edu = new Edu(device, backend.clock, { bufferSize: BLOCK });
    using memory = device.dma.allocUser(16_384);
    const part = memory.subarray(1234, 1234 + 3000);
    for (const [at] of part.bytes.entries()) part.bytes[at] = (at * 31) >> 3;
    const sent = part.bytes.slice();
    await edu.directIo.write(part);
    part.bytes.fill(0);
    await edu.directIo.read(part);
    assert.deepEqual(part.bytes, sent);
  },

  'M2 a device that only reads gets what is written after memory is mapped that nobody had touched': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    const memory = device.dma.allocUser(PAGE_SIZE);
    const [segment] = device.dma.map(memory, 'to-device').segments;
    memory.bytes.fill(0x5a);
    const back = device.dma.allocConsistent(64);
    const bar = device.bar(0);
    await transfer(bar, segment?.busAddress ?? 0n, EDU_BUFFER, 1);
    await transfer(bar, EDU_BUFFER, back.busAddress, 3);
    assert(back.bytes.every((byte) => byte === 0x5a));
  },

  'V10 after a reset what was open works on: INTx, MSI, and what was mapped': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    const memory = device.dma.allocConsistent(2 * PAGE_SIZE);
    memory.bytes.fill(7);
    for (const vector of [undefined, 0]) {
      using irq = device.irq(vector);
      await interrupts(device, irq);
      device.reset();
      await interrupts(device, irq);
    }
    assert(memory.bytes.every((byte) => byte === 7));
  },

  'V9 an interrupt can be triggered without the device': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    assert.throws(() => device.trigger(), /ENOENT/);
    assert.throws(() => device.trigger(0), /ENOENT/);
    assert.throws(() => device.trigger('error'), /ENOENT/);
    assert.throws(() => device.trigger(-1), RangeError);
    for (const vector of [undefined, 0]) {
      using irq = device.irq(vector);
      const read = irq.read();
      await delay(5);
      device.trigger(vector);
      assert.equal(await read, 1);
      assert.equal(irq.tryRead(), undefined);
    }
  },

  'V7 MSI-X: each vector has an eventfd of its own, and what is closed leaves the others': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(E1000E, { dmaMask: (1n << 64n) - 1n });
    assert.equal(device.config.length, 4096);
    const irqs = [0, 1, 2, 3, 4].map((vector) => device.irq(vector));
    assert.equal(new Set(irqs.map(({ line }) => line)).size, 5);
    assert.throws(() => device.irq(5), /ENOSPC.*5/);
    assert.throws(() => device.irq(), /EBUSY/);
    device.trigger(3);
    device.trigger(3);
    device.trigger(1);
    const counts = () => irqs.map((irq) => irq.tryRead());
    assert.deepEqual(counts(), [undefined, 1, undefined, 2, undefined]);
    irqs[3]?.close();
    assert.throws(() => device.trigger(3), /ENOENT/);
    device.trigger(4);
    assert.equal(irqs[4]?.tryRead(), 1);
    using again = device.irq(3);
    device.trigger(3);
    assert.equal(again.tryRead(), 1);
    device.reset();
    device.trigger(0);
    assert.equal(irqs[0]?.tryRead(), 1);
  },

  'V6 the BAR that has the MSI-X table is mapped with it, and no vector opened by that': () => {
    using backend = vfioBackend();
    using device = backend.pci.open(E1000E, { dmaMask: 0n });
    const table = device.bar(3);
    assert.equal(table.length, 0x4000);
    // The vector control of a table's first entry: masked, as the reset leaves it (PCI 3.0, 6.8.2.9).
    assert.equal(table.read32(12) & 1, 1);
    assert.throws(() => table.read32(0x4000), RangeError);
  },

  'a BAR of ports is EINVAL, one that is not there ENODEV': () => {
    using backend = vfioBackend();
    using device = backend.pci.open(E1000E, { dmaMask: 0n });
    assert.notEqual(device.bar(0).read32(8), 0xffff_ffff);
    assert.throws(() => device.bar(2), /EINVAL/);
    assert.throws(() => device.bar(5), /ENODEV/);
  },

  'an error of the device aborts `failed`, and it works on': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(E1000E, { dmaMask: 0n });
    const { failed } = device;
    assert.equal(failed.aborted, false);
    device.trigger('error');
    await aborted(failed);
    assert.equal((failed.reason as SystemError).code, 'EIO');
    device.reset();
    assert.equal(device.failed.aborted, false);
    assert.equal(device.removed.aborted, false);
  },

  'bus addresses run out: ENOSPC, and are had again': () => {
    using backend = vfioBackend();
    using device = backend.pci.open(FIRST, { dmaMask: 0xffffn });
    const memory = device.dma.allocUser(PAGE_SIZE);
    const mappings = Array.from({ length: 15 }, () => device.dma.map(memory, 'to-device'));
    assert.throws(() => device.dma.map(memory, 'to-device'), /ENOSPC.*0xffff: unmap something/);
    assert.throws(() => device.dma.allocConsistent(1), /ENOSPC/);
    mappings[3]?.unmap();
    device.dma.map(memory, 'from-device');
    assert(mappings.every(({ segments }) => segments.every(({ busAddress }) => busAddress < 0x1_0000n)));
  },

  'V4 more mappings than the kernel allows are ENOSPC': () => {
    writeFileSync(ENTRY_LIMIT, '2');
    try {
      using backend = vfioBackend();
      using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
      device.dma.allocConsistent(1);
      const second = device.dma.allocConsistent(1);
      assert.throws(() => device.dma.allocConsistent(1), /ENOSPC.*dma_entry_limit/);
      second.free();
      device.dma.allocConsistent(1);
    } finally {
      writeFileSync(ENTRY_LIMIT, '65535');
    }
  },

  'V1 a group that another process has is EBUSY; killing that process frees it': async () => {
    const child = fork(SELF, ['hold'], { execArgv: [] });
    await once(child, 'message');
    using backend = vfioBackend();
    assert.throws(() => backend.pci.open(FIRST, { dmaMask: 0n }), /EBUSY.*another process has the group/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    backend.pci.open(FIRST, { dmaMask: 0n }).close();
  },

  'an open device keeps no process alive, and goes with it': async () => {
    const child = fork(SELF, ['leave'], { execArgv: [] });
    const [status] = await once(child, 'exit');
    assert.equal(status, 0);
    using backend = vfioBackend();
    backend.pci.open(FIRST, { dmaMask: 0n }).close();
  },

  'a device goes with its worker': async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: 'hold' });
    await once(worker, 'message');
    using backend = vfioBackend();
    assert.throws(() => backend.pci.open(FIRST, { dmaMask: 0n }), /EBUSY/);
    await worker.terminate();
    backend.pci.open(FIRST, { dmaMask: 0n }).close();
  },

  'an ordinary user who owns the group’s file has the device, under a memlock limit': () => {
    const group = `/dev/vfio/${readlinkSync(`/sys/bus/pci/devices/${FIRST}/iommu_group`).split('/').at(-1)}`;
    const asUser = () => {
      const script = `ulimit -l ${MEMLOCK_KIB}; exec /bin/node ${SELF} user`;
      return spawnSync('/bin/busybox', ['sh', '-c', script], { encoding: 'utf8' });
    };
    assert.match(asUser().stderr, /EACCES.*chown/);
    chownSync(group, UID, UID);
    try {
      const { status, stdout, stderr } = asUser();
      assert.equal(status, 0, stderr);
      assert.equal(stdout, 'works\n');
    } finally {
      chownSync(group, 0, 0);
    }
  },

  'a device that is bound elsewhere, or nowhere, says so and what to do': async () => {
    using backend = vfioBackend();
    await bind(SECOND, 'uio_pci_generic');
    try {
      assert.throws(() => backend.pci.open(SECOND, { dmaMask: 0n }), /EBUSY.*uio_pci_generic has it.*usrdrv bind/);
      assert.equal(openBackend({ device: SECOND, only: ['vfio', 'uio'] }).name, 'uio');
      await bind(SECOND);
      assert.throws(() => backend.pci.open(SECOND, { dmaMask: 0n }), /ENODEV.*no driver has it.*usrdrv bind/);
      assert.match(surveyOf(SECOND), /has no driver/);
    } finally {
      await bind(SECOND, 'vfio-pci');
    }
    using chosen = openBackend({ device: SECOND });
    assert.equal(chosen.name, 'vfio');
    assert.match(chosen.passedOver.map(({ reason }) => reason).join(), /bound to vfio-pci/);
  },

  'a group that a kernel driver has a part of is not viable: EBUSY, and names it': async () => {
    // Functions of one device, which share a group.
    const [sata = '', smbus = ''] = [...functions('0x8086', '0x2922'), ...functions('0x8086', '0x2930')];
    await bind(sata, 'vfio-pci');
    await bind(smbus, 'uio_pci_generic');
    try {
      using backend = vfioBackend();
      const holder = new RegExp(`EBUSY.*not viable.*${smbus} \\(uio_pci_generic\\)`);
      assert.throws(() => backend.pci.open(sata, { dmaMask: 0n }), holder);
      assert.match(surveyOf(sata), new RegExp(`${smbus} \\(uio_pci_generic\\)`));
      await bind(smbus, 'vfio-pci');
      // Two functions of one group share its container, and its bus addresses.
      using one = backend.pci.open(sata, { dmaMask: 0n });
      using other = backend.pci.open(smbus, { dmaMask: 0n });
      const addresses = [one, other].map((device) => device.dma.allocConsistent(1).busAddress);
      assert.equal(new Set(addresses).size, 2);
      one.close();
      other.dma.allocConsistent(1);
    } finally {
      for (const address of [sata, smbus]) await bind(address);
    }
  },

  'a device that the kernel wants back is given back: ENODEV everywhere, and it works when it is there again':
    async () => {
      using backend = vfioBackend();
      for (const round of [1, 2]) {
        const device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
        const second = backend.pci.open(SECOND, { dmaMask: MASK_28 });
        const [bar, irq] = [device.bar(0), device.irq()];
        const consistent = device.dma.allocConsistent(PAGE_SIZE);
        const mapping = device.dma.map(device.dma.allocUser(3 * PAGE_SIZE), 'bidirectional');
        const read = code(irq.read());
        const driver = code(transferUntilItFails(second, backend));
        await delay(150);
        await Promise.all([FIRST, SECOND].map((address) => bind(address)));
        assert.deepEqual([await read, await driver], ['ENODEV', 'ENODEV'], `round ${round}`);
        assert.equal((device.removed.reason as SystemError).code, 'ENODEV');
        for (const call of [
          () => bar.read32(0),
          () => device.config.read16(0),
          () => device.bar(0),
          () => device.bar(1),
          () => device.irq(0),
          () => irq.tryRead(),
          () => device.dma.allocConsistent(1),
          () => device.reset(),
          () => device.trigger(),
        ]) {
          assert.throws(call, { code: 'ENODEV' });
        }
        consistent.bytes.fill(7);
        mapping.unmap();
        device.close();
        second.close();
        assert.throws(() => bar.read32(0), /EBADF/);
        assert.throws(() => device.config.read16(0), /EBADF/);
        for (const address of [FIRST, SECOND]) await bind(address, 'vfio-pci');
        using again = backend.pci.open(FIRST, { dmaMask: MASK_28 });
        using line = again.irq();
        await interrupts(again, line);
      }
    },

  'a request by itself is answered as well, also where nobody waits': async () => {
    using backend = vfioBackend();
    const device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
    device.trigger('request');
    await aborted(device.removed);
    assert.throws(() => device.irq(), { code: 'ENODEV' });
    // The group is free, with the device not yet closed.
    device.close();
    backend.pci.open(FIRST, { dmaMask: MASK_28 }).close();
  },
};

if (!isMainThread) hold(() => parentPort?.postMessage('holds'));
else if (process.argv[2] === 'hold') hold(() => process.send?.('holds'));
else if (process.argv[2] === 'leave') leave();
else if (process.argv[2] === 'user') await ordinaryUser();
else await main();

async function main(): Promise<void> {
  for (const address of [...EDUS, E1000E]) await bind(address, 'vfio-pci');
  await runChecks({ ...requestChecks(FIRST), ...checks });
  for (const address of [...EDUS, E1000E]) await bind(address);
  process.exit();
}

/** Three interrupts of edu. */
async function interrupts(device: VfioDevice, irq: IrqSource): Promise<void> {
  const bar = device.bar(0);
  bar.write32(ACKNOWLEDGE, 0xffff_ffff);
  irq.tryRead();
  for (let round = 0; round < 3; round++) {
    const read = irq.read();
    await delay(2);
    bar.write32(RAISE, 1);
    assert.equal(await read, 1);
    assert.equal(bar.read32(INTERRUPT_STATUS), 1);
    bar.write32(ACKNOWLEDGE, 1);
  }
}

/** 64 bytes through edu's DMA engine. */
async function transfer(bar: MmioRegion, from: bigint, to: bigint, command: number): Promise<void> {
  bar.write64(0x80, from);
  bar.write64(0x88, to);
  bar.write64(0x90, 64n);
  bar.write64(0x98, BigInt(command));
  while ((bar.read32(0x98) & 1) !== 0) await delay(20);
}

async function echo(edu: Edu): Promise<void> {
  const sent = Uint8Array.from({ length: BLOCK }, (_, index) => (index * 31) & 0xff);
  await edu.write(0, sent);
  assert.deepEqual(await edu.read(0, sent.length), sent);
}

async function transferUntilItFails(device: VfioDevice, { clock }: ReturnType<typeof vfioBackend>): Promise<never> {
  using edu = new Edu(device, clock, { bufferSize: BLOCK });
  for (;;) await echo(edu);
}

/** Nothing else keeps the process alive. */
async function aborted(signal: AbortSignal): Promise<void> {
  for (let waits = 0; !signal.aborted && waits < 200; waits++) await delay(10);
  assert(signal.aborted, 'aborted within 2 s');
}

async function code(call: Promise<unknown>): Promise<string> {
  try {
    return `no error: ${await call}`;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

function surveyOf(device: string): string {
  const [vfio] = surveyBackends({ device, only: ['vfio'] });
  return vfio?.shortfall?.reason ?? 'nothing';
}

/** Has all of a device that can be had, and closes nothing. */
function hold(say: () => void): void {
  if (!isMainThread) assert.equal(workerData, 'hold');
  const device = open();
  device.irq().read();
  say();
}

/** Ends with a device open, for which nobody waits. */
function leave(): void {
  const device = open();
  device.irq();
  process.disconnect?.();
}

function open(): VfioDevice {
  const device = vfioBackend().pci.open(FIRST, { dmaMask: MASK_28 });
  device.dma.map(device.dma.allocUser(5 * PAGE_SIZE), 'bidirectional');
  device.dma.allocConsistent(8).bytes[0] = 1;
  device.bar(0).read32(0);
  return device;
}

/** As somebody without privileges: transfers, and as much pinned memory as the limit says. */
async function ordinaryUser(): Promise<void> {
  process.setgid?.(UID);
  process.setuid?.(UID);
  using backend = vfioBackend();
  using device = backend.pci.open(FIRST, { dmaMask: MASK_28 });
  using edu = new Edu(device, backend.clock, { bufferSize: BLOCK });
  await echo(edu);
  const limit = MEMLOCK_KIB * 1024;
  const memory = device.dma.allocUser(limit + PAGE_SIZE);
  assert.throws(() => device.dma.map(memory, 'to-device'), /ENOMEM.*RLIMIT_MEMLOCK.*ulimit -l/);
  const mapping = device.dma.map(memory.subarray(0, limit / 2), 'to-device');
  assert.throws(() => device.dma.map(memory.subarray(0, limit / 2), 'to-device'), /ENOMEM/);
  mapping.unmap();
  device.dma.map(memory.subarray(0, limit / 2), 'to-device').unmap();
  await echo(edu);
  console.log('works');
}
