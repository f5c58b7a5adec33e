/**
 * Runs in the guest: this package on a kernel that has the interface, with QEMU's edu devices. Prints a line for each check,
 * and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  bindDriver,
  EAGAIN,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MAPPING_INFO,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  type PciAddress,
  type PciDevice,
  POLLIN,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { eduDriver } from '@usrdrv/drivers/edu';
import { kernelInterface, LinuxKernel, usrdrvBackend } from '@usrdrv/native';
import { lockMemory, RealtimeIrq, setScheduler } from '@usrdrv/native/realtime';
import { type Checks, runChecks, succeeds } from './checks.ts';

/** QEMU, docs/specs/edu.rst */
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const STATUS = 0x24;
const LIVENESS = 0x04;
const MASK_28 = 0xfff_ffffn;
const RW = PROT_READ | PROT_WRITE;
const NULL = virtualAddress(0n);
const ROUNDS = 200;
/** QEMU 7.2 dies of a transfer that touches the last byte of edu's buffer of 4096. */
const BLOCK = 4095;

const checks: Checks = {
  'the kernel’s interface is found': () => {
    assert.notEqual(kernelInterface(), 'none');
    console.log(`  by ${kernelInterface()}`);
  },

  'S1 one interrupt is read from /proc/irq/N/irq': async () => {
    using kernel = new LinuxKernel();
    const { thread } = kernel.process;
    const { bus, slot, function: fn } = eduAddress();
    const device = succeeds(thread.usrPciOpen(bus, slot, fn, MASK_28));
    const line = Number(text(kernel, 'irq'));

    const mem = succeeds(thread.open('/dev/mem', O_RDWR));
    const registers = thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, mem, bar0Address(kernel));
    assert(typeof registers === 'bigint');
    using mmio = kernel.process.mmio(registers, PAGE_SIZE);
    const irq = succeeds(thread.open(`/proc/irq/${line}/irq`, O_RDONLY | O_NONBLOCK));
    assert.equal(thread.open(`/proc/irq/${line}/irq`, O_RDONLY), -EBUSY);

    const buf = pages(kernel);
    assert.equal(thread.read(irq, buf, 4), -EAGAIN);
    const fds = [{ fd: irq, events: POLLIN, revents: 0 }];
    const waiting = thread.poll(fds, 5000);
    assert(waiting instanceof Promise);
    mmio.write32(RAISE, 1);
    assert.equal(await waiting, 1);
    assert.equal(thread.read(irq, buf, 4), 4);
    assert.equal(new DataView(kernel.process.bytes(buf, 4).buffer).getInt32(0, true), 1);
    assert.equal(mmio.read32(STATUS), 1);
    mmio.write32(ACKNOWLEDGE, 1);
    assert.equal(thread.read(irq, buf, 4), -EAGAIN);
    console.log(`  line ${line}, count 1, by ${process.version} on ${kernelInterface()}`);
    for (const fd of [irq, mem, device]) assert.equal(thread.close(fd), 0);
    assert.equal(thread.munmap(registers, PAGE_SIZE), 0);
  },

  'S3 registers through /dev/mem, and a loop around select(2) over the irq file with a timeout of 10 ms': async () => {
    using kernel = new LinuxKernel();
    using device = openEdu();
    const { thread } = kernel.process;
    const line = lineOf(device);
    const mem = succeeds(thread.open('/dev/mem', O_RDWR));
    const page = thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, mem, bar0Address(kernel));
    assert(typeof page === 'bigint');
    using registers = kernel.process.mmio(page, PAGE_SIZE);
    const irq = succeeds(thread.open(`/proc/irq/${line}/irq`, O_RDONLY | O_NONBLOCK));
    const buf = pages(kernel);
    const count = new DataView(kernel.process.bytes(buf, 4).buffer);
    // In QEMU a line that fell while nobody had it open interrupts once, falsely.
    await delay(20);
    while (thread.read(irq, buf, 4) === 4) await delay(20);
    let [interrupts, timeouts] = [0, 0];
    while (interrupts < 3) {
      const sets = { read: new Set([irq]) };
      const ready = succeeds(await thread.select(sets, 10));
      if (ready === 0) {
        assert.equal(sets.read.size, 0);
        timeouts++;
        // In place of an LED: a register that reads as the inverse of what was written.
        registers.write32(LIVENESS, timeouts);
        assert.equal(registers.read32(LIVENESS), ~timeouts >>> 0);
        if (timeouts % 2 === 0) registers.write32(RAISE, 1);
        continue;
      }
      assert(sets.read.has(irq));
      assert.equal(await thread.read(irq, buf, 4), 4);
      interrupts += count.getInt32(0, true);
      registers.write32(ACKNOWLEDGE, 1);
    }
    // An interrupt may take longer than one timeout to arrive.
    assert(timeouts >= 6, `${timeouts} timeouts`);
    for (const fd of [irq, mem]) assert.equal(thread.close(fd), 0);
    assert.equal(thread.munmap(page, PAGE_SIZE), 0);
  },

  'S3 mapPhysical gives registers by physical address, from any byte on': () => {
    using kernel = new LinuxKernel();
    using backend = usrdrvBackend();
    using device = backend.pci.open(eduAddress(), { dmaMask: MASK_28 });
    const base = bar0Address(kernel);
    using whole = backend.mapPhysical(base, PAGE_SIZE);
    using part = backend.mapPhysical(base + BigInt(LIVENESS), 4);
    assert.equal(whole.read32(0), 0x0100_00ed);
    part.write32(0, 0x1234_5678);
    assert.equal(device.bar(0).read32(LIVENESS), 0xedcb_a987);
    assert.throws(() => part.read32(4), RangeError);
    part.close();
    assert.throws(() => part.read32(0), /EBADF/);
  },

  'S4 direct I/O moves any size at any alignment, both ways': async () => {
    using backend = usrdrvBackend();
    using bindings = await bindDriver(backend, eduDriver({ bufferSize: BLOCK }));
    const [binding] = bindings.bound;
    if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('no edu device');
    const { directIo } = binding.instance;
    using memory = binding.device.dma.allocUser(16_384);
    const part = memory.subarray(1234, 1234 + 9000);
    for (const [at] of part.bytes.entries()) part.bytes[at] = (at * 31) >> 3;
    const sent = part.bytes.slice();
    const told: number[] = [];
    assert.equal(await directIo.write(part, { onProgress: (done) => told.push(done) }), 9000);
    assert.deepEqual(told, [BLOCK, 2 * BLOCK, 9000]);
    memory.bytes.fill(0xaa);
    // The last chunk is at the start of the buffer, and what it did not write over is of the one before.
    assert.equal(await directIo.read(part.subarray(0, BLOCK)), BLOCK);
    const rest = 9000 - 2 * BLOCK;
    assert.deepEqual(part.bytes.slice(0, rest), sent.slice(2 * BLOCK));
    assert.deepEqual(part.bytes.slice(rest, BLOCK), sent.slice(BLOCK + rest, 2 * BLOCK));
    assert(memory.bytes.subarray(0, 1234).every((byte) => byte === 0xaa));
    assert(memory.bytes.subarray(1234 + BLOCK).every((byte) => byte === 0xaa));
  },

  'S4 after a timeout and after an abort the device does not reach the memory any more': async () => {
    using backend = usrdrvBackend();
    using bindings = await bindDriver(backend, eduDriver({ bufferSize: BLOCK }));
    const [binding] = bindings.bound;
    if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('no edu device');
    const { directIo } = binding.instance;
    const memory = binding.device.dma.allocUser(8192);
    // A transfer takes the device 100 ms.
    await assert.rejects(directIo.read(memory, { timeoutMs: 20 }), /ETIMEDOUT/);
    memory.bytes.fill(0xaa);
    await delay(200);
    assert(memory.bytes.every((byte) => byte === 0xaa));
    await assert.rejects(directIo.read(memory, { signal: AbortSignal.timeout(30) }), /TimeoutError|aborted/);
    memory.bytes.fill(0xbb);
    await delay(200);
    assert(memory.bytes.every((byte) => byte === 0xbb));
    assert.equal(await directIo.read(memory), 8192);
    assert(!memory.bytes.every((byte) => byte === 0xbb));
    memory.free();
  },

  'P3 a blocking read sleeps without the event loop, and an abort is EINTR': async () => {
    using kernel = new LinuxKernel();
    using device = openEdu();
    const { thread } = kernel.process;
    const line = lineOf(device);
    const irq = succeeds(thread.open(`/proc/irq/${line}/irq`, O_RDONLY));
    const buf = pages(kernel);
    const abort = new AbortController();
    const read = thread.read(irq, buf, 4, { signal: abort.signal });
    await delay(20);
    abort.abort();
    assert.equal(await read, -EINTR);
    const again = thread.read(irq, buf, 4);
    assert.equal(thread.close(irq), 0);
    // P8: the read holds the line.
    assert.equal(thread.open(`/proc/irq/${line}/irq`, O_RDONLY), -EBUSY);
    device.bar(0).write32(RAISE, 4);
    assert.equal(await again, 4);
    device.bar(0).write32(ACKNOWLEDGE, 4);
    await delay(20);
    assert.equal(thread.close(succeeds(thread.open(`/proc/irq/${line}/irq`, O_RDONLY))), 0);
  },

  [`await irq.read() takes ${ROUNDS} interrupts, one at a time`]: async () => {
    using device = openEdu();
    using irq = device.irq();
    const registers = device.bar(0);
    for (let round = 1; round <= ROUNDS; round++) {
      const count = irq.read();
      registers.write32(RAISE, round);
      assert.equal(await count, 1);
      assert.equal(registers.read32(STATUS), round);
      registers.write32(ACKNOWLEDGE, round);
    }
    assert.equal(irq.tryRead(), undefined);
    assert.equal(await irq.poll({ timeoutMs: 10 }), false);
  },

  'a file goes through edu and back by DMA, with INTx': () => throughEdu(false),

  'a file goes through edu and back by DMA, with MSI': () => throughEdu(true),

  'U3 consistent memory is bytes until it is freed': () => {
    using device = openEdu();
    const memory = device.dma.allocConsistent(PAGE_SIZE);
    assert(memory.bytes.every((byte) => byte === 0));
    memory.bytes.fill(1);
    memory.free();
    assert.equal(memory.bytes.length, 0);
    const bytes = device.dma.allocConsistent(16).bytes;
    device.close();
    assert.equal(bytes.length, 0);
  },

  'U4 pointers that lead out of what was mapped here are EFAULT, also those within the structure': () => {
    using kernel = new LinuxKernel();
    const { thread } = kernel.process;
    const { bus, slot, function: fn } = eduAddress();
    const device = succeeds(thread.usrPciOpen(bus, slot, fn, MASK_28));
    const [region, info] = [pages(kernel, 4), pages(kernel, 2)];
    const view = new DataView(kernel.process.bytes(info, PAGE_SIZE).buffer);
    const map = (virtaddr: bigint, size: number, sglist: bigint, nents = 8): number => {
      view.setBigUint64(MAPPING_INFO.virtaddr, virtaddr, true);
      view.setUint32(MAPPING_INFO.size, size, true);
      view.setBigUint64(MAPPING_INFO.sglist, sglist, true);
      view.setInt32(MAPPING_INFO.nents, nents, true);
      view.setInt32(MAPPING_INFO.direction, 0, true);
      return thread.usrPciMmap(device, info);
    };
    const list = info + 64n;
    assert.equal(map(region, 4 * PAGE_SIZE, list), 0);
    assert.equal(thread.usrPciMunmap(device, info), 0);
    assert.equal(map(region, 0, list), -EINVAL);
    for (const wrong of [0n, 0x40_0000n, heap(), (1n << 63n) + 4096n, 0x10_0000_0000n]) {
      assert.equal(map(wrong, PAGE_SIZE, list), -EFAULT, `region at ${wrong.toString(16)}`);
      assert.equal(map(region, PAGE_SIZE, wrong), -EFAULT, `list at ${wrong.toString(16)}`);
      assert.equal(thread.usrPciMmap(device, virtualAddress(wrong)), -EFAULT, `structure at ${wrong.toString(16)}`);
      assert.equal(thread.usrPciMunmap(device, virtualAddress(wrong)), -EFAULT);
      assert.equal(thread.usrPciGetConsistent(device, PAGE_SIZE, virtualAddress(wrong), region), -EFAULT);
      assert.equal(thread.usrPciGetConsistent(device, PAGE_SIZE, region, virtualAddress(wrong)), -EFAULT);
    }
    // UD2: the tail is not mapped, at the end of the range, with nothing behind it.
    const edge = virtualAddress(0x3000_0000_0000n);
    assert.equal(thread.mmap(edge, PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0n), edge);
    assert.equal(map(edge, PAGE_SIZE + 1, list), -EFAULT);
    assert.equal(map(edge, PAGE_SIZE, list), 0);
    assert.equal(thread.usrPciMunmap(device, info), 0);
    // Both results to one place: neither may be lost.
    assert.equal(thread.usrPciGetConsistent(device, PAGE_SIZE, region, region), 0);
    assert.equal(thread.close(device), 0);
  },

  'U2 a device goes with its process, however that ends': async () => {
    const child = fork(fileURLToPath(import.meta.url), ['hold'], { execArgv: [] });
    await once(child, 'message');
    assert.throws(() => openEdu(), /EBUSY/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    openEdu().close();
  },

  'U2 a device goes with its worker': async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: 'hold' });
    await once(worker, 'message');
    assert.throws(() => openEdu(), /EBUSY/);
    await worker.terminate();
    openEdu().close();
  },

  [`S1 a worker that runs SCHED_FIFO takes ${ROUNDS} interrupts with readSync`]: async () => {
    using device = openEdu();
    const line = lineOf(device);
    const registers = device.bar(0);
    const worker = new Worker(new URL(import.meta.url), { workerData: { line } });
    assert.deepEqual(await once(worker, 'message'), ['ready']);
    for (let round = 1; round <= ROUNDS; round++) {
      registers.write32(RAISE, round);
      const [count] = await once(worker, 'message');
      assert.equal(count, 1);
      registers.write32(ACKNOWLEDGE, round);
      // It asks for the next one, and that unmasks the line (P5).
      await delay(1);
    }
    // Asleep in the kernel, and still it ends.
    await worker.terminate();
    using irq = device.irq();
    assert.equal(irq.tryRead(), undefined);
  },
};

if (!isMainThread) inWorker();
else if (process.argv[2] === 'hold') hold(() => process.send?.('holds'));
else await main();

async function main(): Promise<void> {
  await runChecks(checks);
  process.exit();
}

function inWorker(): void {
  if (workerData === 'hold') {
    hold(() => parentPort?.postMessage('holds'));
    return;
  }
  const { line }: { line: number } = workerData;
  lockMemory();
  setScheduler();
  using irq = new RealtimeIrq(line);
  parentPort?.postMessage('ready');
  for (;;) parentPort?.postMessage(irq.readSync());
}

/** Has all of a device that can be had, and closes nothing. */
function hold(say: () => void): void {
  const device = openEdu();
  device.dma.map(device.dma.allocUser(5 * PAGE_SIZE), 'bidirectional');
  device.dma.allocConsistent(8).bytes[0] = 1;
  device.irq().read();
  say();
}

async function throughEdu(msi: boolean): Promise<void> {
  using backend = usrdrvBackend();
  using bindings = await bindDriver(backend, eduDriver({ msi }));
  const [binding] = bindings.bound;
  if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('no edu device');
  const { instance } = binding;
  const sent = Uint8Array.from({ length: 10_000 }, (_, index) => (index * 31) & 0xff);
  for (let at = 0; at < sent.length; at += BLOCK) {
    const block = sent.subarray(at, at + BLOCK);
    await instance.write(0, block);
    assert.deepEqual(await instance.read(0, block.length), block);
  }
}

function eduAddress(): PciAddress {
  using backend = usrdrvBackend();
  for (const each of backend.pci.scan()) {
    if (each.vendorId === 0x1234 && each.deviceId === 0x11e8) return each.address;
  }
  throw new Error('no edu device');
}

/** Where BAR 0 is in physical memory. */
function bar0Address(kernel: LinuxKernel): bigint {
  return BigInt(text(kernel, 'resource').split(' ')[0] ?? '');
}

function openEdu(): PciDevice {
  return usrdrvBackend().pci.open(eduAddress(), { dmaMask: MASK_28 });
}

function lineOf(device: PciDevice): number {
  using irq = device.irq();
  return irq.line;
}

function text(kernel: LinuxKernel, file: string): string {
  return new TextDecoder().decode(kernel.files.readFileSync(`/sys/bus/pci/devices/${eduAddress()}/${file}`));
}

function pages(kernel: LinuxKernel, count = 1): VirtualAddress {
  const address = kernel.process.thread.mmap(NULL, count * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  assert(typeof address === 'bigint');
  return address;
}

/** The C library's heap: memory that is there, and somebody else's. */
function heap(): bigint {
  using kernel = new LinuxKernel();
  const maps = new TextDecoder().decode(kernel.files.readFileSync('/proc/self/maps'));
  return BigInt(
    `0x${
      maps
        .split('\n')
        .find((line) => line.endsWith('[heap]'))
        ?.split('-')[0] ?? '400000'
    }`,
  );
}
