/**
 * The conformance suite on this kernel, in the guest. Each case runs in a worker of its own, which takes along whatever the
 * case leaves open, mapped and asleep.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Bench, conformance, type EduBench, supportsOf, type Target } from '@usrdrv/conformance';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  type MmioRegion,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  PciAddress,
  PROT_READ,
  PROT_WRITE,
  physicalAddress,
  userModeBackend,
  virtualAddress,
} from '@usrdrv/core';
import { LinuxKernel } from '@usrdrv/native';

const LIMIT_MS = 60_000;
/** QEMU, docs/specs/edu.rst */
const FACTORIAL_STATUS = 0x20;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
/** How long the machine may take to deliver an interrupt. */
const SETTLE_MS = 3;
/** More descriptors than a case opens. */
const MAX_FD = 256;
/** All of user space. */
const USER_SPACE = 0x7fff_ffff_0000;

const NULL = virtualAddress(0n);
const NOT_HERE = 'not in this guest';

/** QEMU 7.2 dies of a transfer that touches the last byte of edu's buffer. */
const DEADLY = new Set([
  'M2 streaming memory travels to the device and from it',
  'DmaMapper memory travels to the device and back through its segments',
]);

function target(): Target {
  const kernel = new LinuxKernel();
  const edus = eduAddresses(kernel).map((address) => new Edu(kernel, address));
  const [edu, secondEdu] = edus;
  if (edu === undefined || secondEdu === undefined) throw new Error('there are no two edu devices');
  const bench: Bench = {
    edu,
    secondEdu,
    missing: {
      lines: NOT_HERE,
      'kernel-driver': NOT_HERE,
      'irq-desc': NOT_HERE,
      'spurious-interrupts': NOT_HERE,
      warnings: NOT_HERE,
      faults: NOT_HERE,
      accounting: NOT_HERE,
      unplug: NOT_HERE,
      'bind-driver': NOT_HERE,
      'dma-debugging': NOT_HERE,
    },
  };
  return { kernel, backend: userModeBackend(kernel), bench };
}

/** Takes back what a case has left, so that the next finds the machine as this one did. */
function teardown({ kernel, backend, bench }: Target): void {
  backend.close();
  for (const edu of [bench.edu, bench.secondEdu]) edu?.acknowledge(0xffff_ffff);
  kernel[Symbol.dispose]();
  const { thread } = kernel.process;
  for (let fd = 0; fd < MAX_FD; fd++) thread.close(fd);
  thread.munmap(NULL, USER_SPACE);
}

/** A device by a mapping of its registers that the suite knows nothing of. */
class Edu implements EduBench {
  readonly address: PciAddress;
  readonly irq: number;
  readonly bar0;
  readonly #registers: MmioRegion;

  constructor(kernel: LinuxKernel, address: PciAddress) {
    const { thread } = kernel.process;
    this.address = address;
    // The kernel routes the line when somebody enables the device for the first time.
    const { bus, slot, function: fn } = address;
    thread.close(thread.usrPciOpen(bus, slot, fn, 0n));
    this.irq = Number(sysfs(address, 'irq'));
    this.bar0 = physicalAddress(BigInt(sysfs(address, 'resource').split(' ')[0] ?? ''));
    const fd = thread.open('/dev/mem', O_RDWR);
    const page = thread.mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, this.bar0);
    if (typeof page === 'number') throw new Error(`mmap of /dev/mem: ${page}`);
    thread.close(fd);
    this.#registers = kernel.process.mmio(page, PAGE_SIZE);
    this.#registers.write32(FACTORIAL_STATUS, 0);
    this.#registers.write32(ACKNOWLEDGE, 0xffff_ffff);
    this.#forgetFalse(kernel);
  }

  /** In QEMU a line that fell while nobody had it open interrupts once, falsely, when somebody opens it. */
  #forgetFalse(kernel: LinuxKernel): void {
    const { thread } = kernel.process;
    const fd = thread.open(`/proc/irq/${this.irq}/irq`, O_RDONLY | O_NONBLOCK);
    const page = thread.mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (fd < 0 || typeof page === 'number') throw new Error(`open of line ${this.irq}: ${fd}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE_MS);
    while (thread.read(fd, page, 4) === 4);
    thread.munmap(page, PAGE_SIZE);
    thread.close(fd);
  }

  raise(bits: number): Promise<void> {
    this.#registers.write32(RAISE, bits);
    return delay(SETTLE_MS);
  }

  acknowledge(bits: number): Promise<void> {
    this.#registers.write32(ACKNOWLEDGE, bits);
    return delay(SETTLE_MS);
  }
}

function eduAddresses(kernel: LinuxKernel): PciAddress[] {
  const names = kernel.files.readdirSync('/sys/bus/pci/devices').map((name) => PciAddress.parse(name));
  return names.filter((each) => sysfs(each, 'vendor') === '0x1234' && sysfs(each, 'device') === '0x11e8');
}

function sysfs(address: PciAddress, file: string): string {
  return readFileSync(`/sys/bus/pci/devices/${address}/${file}`, 'utf8').trim();
}

/** The suite as this kernel can run it. */
function suite() {
  const tests = new Map<string, () => Promise<void>>();
  const skips: string[] = [];
  const first = target();
  const machines = { '8259': NOT_HERE, 'no-iommu': NOT_HERE, comm: NOT_HERE };
  const supports = supportsOf(first, machines);
  teardown(first);
  conformance({
    supports,
    test: (name, run) => {
      if (DEADLY.has(name)) skips.push(`${name} (QEMU would die)`);
      else tests.set(name, run);
    },
    skip: (name, reason) => skips.push(`${name} (${reason})`),
    setup: target,
    teardown,
    programs: 50,
  });
  return { tests, skips };
}

async function runHere(name: string): Promise<void> {
  try {
    await suite().tests.get(name)?.();
    parentPort?.postMessage('ok');
  } catch (error) {
    parentPort?.postMessage(error instanceof Error ? error.message : String(error));
  }
}

function runInWorker(name: string): Promise<string> {
  const worker = new Worker(new URL(import.meta.url), { workerData: name });
  return new Promise((resolve) => {
    const finish = async (result: string) => {
      clearTimeout(limit);
      await worker.terminate();
      resolve(result);
    };
    const limit = setTimeout(finish, LIMIT_MS, 'hangs');
    worker.once('message', finish);
    worker.once('error', (error) => finish(String(error)));
  });
}

async function main(): Promise<void> {
  const { tests, skips } = suite();
  let passed = 0;
  for (const skip of skips) console.log(`skipped ${skip}`);
  for (const name of tests.keys()) {
    console.log(`running ${name}`);
    const result = await runInWorker(name);
    if (result === 'ok') passed++;
    else console.log(`not ok ${name}\n  ${result.replaceAll('\n', '\n  ')}`);
  }
  console.log(`conformance: ${passed} of ${tests.size} cases hold, ${skips.length} skipped`);
  console.log(`${passed} passed, ${tests.size - passed} failed`);
  process.exit();
}

if (isMainThread) await main();
else await runHere(workerData);
