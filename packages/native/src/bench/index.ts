import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Backend, type Interruptible, PciAddress, userModeBackend, virtualAddress } from '@usrdrv/core';
import { LinuxKernel } from '../linux-kernel.ts';
import type { LinuxThread } from '../linux-thread.ts';
import { accounting } from './accounting.ts';
import { EduSeat, SETTLE_MS, sysfs } from './edu.ts';
import { Faults, noFaults } from './faults.ts';
import { KernelLog } from './kernel-log.ts';
import { eject, noEject } from './slots.ts';
import { bindStub, noStub, unbindStub } from './stub-driver.ts';

/** More descriptors than a case opens. */
const MAX_FD = 256;
/** All of user space. */
const USER_SPACE = 0x7fff_ffff_0000;
const COMM = '/proc/thread-self/comm';
/** How long a device that was pulled out may take to be plugged in again, and looks in that time. */
const PLUG_MS = 100;
const PLUG_LOOKS = 100;

/** The machine that a conformance case wants, where any other than the usual one. */
export interface LinuxTargetOptions {
  readonly interrupts?: '8259';
  readonly iommu?: false;
  readonly comm?: string;
}

/** What `@usrdrv/conformance` runs a case on: see its Target and Bench, which this is one of. */
export interface LinuxTarget {
  readonly kernel: LinuxKernel;
  readonly backend: Backend;
  readonly bench: LinuxBench;
  /** Ends the calls that a case has left asleep. */
  readonly abort: AbortController;
}

/** The machines that this one is not, with the reason. */
export const OTHER_MACHINES = {
  '8259': 'this machine has an I/O APIC',
  'no-iommu': 'this machine has an IOMMU',
} as const;

/**
 * This machine, with two edu devices that nobody else uses. It takes root; a machine whose kernel may die.
 * @throws SystemError ENODEV there are no two edu devices
 */
export async function linuxTarget({ comm }: LinuxTargetOptions = {}): Promise<LinuxTarget> {
  if (comm !== undefined) writeFileSync(COMM, comm);
  const kernel = new LinuxKernel();
  const abort = new AbortController();
  interruptible(kernel.process.thread, abort.signal);
  const bench = new LinuxBench(kernel, await twoEdus(kernel));
  return { kernel, backend: userModeBackend(kernel), bench, abort };
}

/** Takes back what a case has left, so that the next finds the machine as this one did. */
export async function endLinuxTarget({ kernel, backend, bench, abort }: LinuxTarget): Promise<void> {
  backend.close();
  abort.abort();
  bench.end();
  kernel[Symbol.dispose]();
  const { thread } = kernel.process;
  for (let fd = 0; fd < MAX_FD; fd++) thread.close(fd);
  thread.munmap(virtualAddress(0n), USER_SPACE);
  writeFileSync(COMM, 'node');
  // Calls that were interrupted let go of what they hold.
  await delay(SETTLE_MS);
}

/** Has the thread's sleeping calls end with a signal of ours as well. */
function interruptible(thread: LinuxThread, signal: AbortSignal): void {
  const both = (o: Interruptible | undefined): Interruptible => ({
    signal: o?.signal === undefined ? signal : AbortSignal.any([o.signal, signal]),
  });
  const { read, write, poll, epollWait } = thread;
  thread.read = (fd, buf, count, o) => read.call(thread, fd, buf, count, both(o));
  thread.write = (fd, buf, count, o) => write.call(thread, fd, buf, count, both(o));
  thread.poll = (fds, timeoutMs, o) => poll.call(thread, fds, timeoutMs, both(o));
  thread.epollWait = (epfd, events, max, timeoutMs, o) => epollWait.call(thread, epfd, events, max, timeoutMs, both(o));
}

/** The other side of this machine's kernel. */
export class LinuxBench {
  readonly missing;
  readonly edu;
  readonly secondEdu;
  readonly accounting = accounting;
  readonly faults?: Faults;
  readonly #log = new KernelLog();

  constructor(kernel: LinuxKernel, [first, second]: readonly [PciAddress, PciAddress]) {
    this.edu = new EduSeat(kernel, first);
    this.secondEdu = new EduSeat(kernel, second);
    if (noFaults() === undefined) this.faults = new Faults();
    this.missing = reasons({
      lines: 'not observable from user space: every line belongs to a device',
      'kernel-driver': 'not observable from user space: only drivers in the kernel call request_irq',
      'irq-desc': 'not observable from user space: the kernel does not show its irq_desc',
      'spurious-interrupts': 'QEMU sends none that nobody asked for',
      'failing-allocations': noFaults(),
      'failing-dma-mappings': 'nothing makes only a DMA mapping fail',
      'failing-enables': 'nothing keeps edu from being enabled',
      frames: 'the rest of the system takes and frees memory meanwhile',
      unplug: noEject(first),
      'master-abort': 'QEMU answers with zeros where no device does',
      'read-protection': 'QEMU’s IOMMU lets a device read what is mapped for writing only',
      'bind-driver': noStub(),
      fork: 'JavaScript does not survive fork(2)',
      signals: 'the signals of a process belong to Node',
      threads: 'a thread that runs JavaScript is a worker, with descriptors of its own',
      credentials: 'privileges and limits are the whole process’s',
      'dma-debugging': 'the kernel was built without CONFIG_DMA_API_DEBUG',
    });
  }

  /** Waits until an interrupt that is on its way has arrived, on whichever processor. */
  async settle(): Promise<void> {
    await delay(SETTLE_MS);
  }

  warnings(): readonly string[] {
    return this.#log.warnings();
  }

  unplug(address: PciAddress): void {
    eject(address);
  }

  bindDriver(address: PciAddress): void {
    bindStub(address);
  }

  end(): void {
    for (const edu of [this.edu, this.secondEdu]) {
      if (!existsSync(`/sys/bus/pci/devices/${edu.address}`)) continue;
      edu.silence();
      unbindStub(edu.address);
    }
    this.faults?.close();
    this.#log.close();
  }
}

/** Leaves out what has no reason. */
function reasons<K extends string>(of: Readonly<Record<K, string | undefined>>): Partial<Record<K, string>> {
  const missing: Partial<Record<K, string>> = {};
  for (const key in of) {
    const reason = of[key];
    if (reason !== undefined) missing[key] = reason;
  }
  return missing;
}

/** Waits for a device that was pulled out to be plugged in again. */
async function twoEdus(kernel: LinuxKernel): Promise<readonly [PciAddress, PciAddress]> {
  for (let looks = 0; looks < PLUG_LOOKS; looks++) {
    const [first, second] = eduAddresses(kernel);
    if (first !== undefined && second !== undefined) return [first, second];
    await delay(PLUG_MS);
  }
  throw new Error('there are no two edu devices');
}

function eduAddresses(kernel: LinuxKernel): PciAddress[] {
  const names = kernel.files.readdirSync('/sys/bus/pci/devices').map((name) => PciAddress.parse(name));
  return names
    .filter((each) => sysfs(each, 'vendor') === '0x1234' && sysfs(each, 'device') === '0x11e8')
    .sort((a, b) => `${a}`.localeCompare(`${b}`));
}
