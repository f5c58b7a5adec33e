import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Backend, type Interruptible, PciAddress, virtualAddress } from '@usrdrv/core';
import { LinuxKernel } from '../linux-kernel.ts';
import type { LinuxThread } from '../linux-thread.ts';
import { accounting } from './accounting.ts';
import { EduSeat, SETTLE_MS, sysfs } from './edu.ts';
import { Faults, noFaults } from './faults.ts';
import { bindTo, noDriver, unbindFrom } from './kernel-driver.ts';
import { KernelLog } from './kernel-log.ts';
import { eject, noEject } from './slots.ts';
import { THROUGH, type Through, type ThroughName } from './through.ts';

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
  readonly standsOnUsrPci: boolean;
  readonly asksDeviceAtUnmask?: boolean;
  readonly vector?: number;
  /** Ends the calls that a case has left asleep. */
  readonly abort: AbortController;
}

/** The machines that this one is not, with the reason. */
const OTHER_MACHINES = {
  '8259': 'this machine has an I/O APIC',
  'no-iommu': 'this machine has an IOMMU',
} as const;
/** A driver of the kernel that takes any function whose line can be shared. */
const STUB = 'uio_pci_generic';

/** What `@usrdrv/conformance` runs the suite on: see its Bed. */
export interface LinuxBed {
  setup(o: LinuxTargetOptions): Promise<LinuxTarget>;
  teardown(target: LinuxTarget): Promise<void>;
  readonly machines: typeof OTHER_MACHINES;
  /** Left out: system calls too. */
  readonly level?: 'driver';
}

/**
 * This machine, with two edu devices that nobody else uses, driven by one of its backends. It takes root; a machine whose
 * kernel may die. `setup` throws where there are no two edu devices, or no driver that the backend has them with.
 * @param o.msi interrupts by MSI; by the INTx line where left out
 * @param o.driver another driver of the kernel to have the devices with, such as a UIO stub
 */
export function linuxBed(
  name: ThroughName,
  { msi = false, driver }: { readonly msi?: boolean; readonly driver?: string } = {},
): LinuxBed {
  const through: Through = { ...THROUGH[name], ...(driver !== undefined && { driver }) };
  return {
    setup: async (o) => ({ ...(await linuxTarget(through, o)), ...(msi && { vector: 0 }) }),
    teardown: endLinuxTarget,
    machines: OTHER_MACHINES,
    ...(through.standsOnUsrPci ? {} : { level: 'driver' }),
  };
}

async function linuxTarget(through: Through, { comm }: LinuxTargetOptions): Promise<LinuxTarget> {
  if (comm !== undefined) writeFileSync(COMM, comm);
  const kernel = new LinuxKernel();
  const abort = new AbortController();
  interruptible(kernel.process.thread, abort.signal);
  const bench = new LinuxBench(kernel, await twoEdus(kernel), through.driver);
  const { standsOnUsrPci, asksDeviceAtUnmask = false } = through;
  return { kernel, backend: through.open(kernel), bench, standsOnUsrPci, asksDeviceAtUnmask, abort };
}

/** Takes back what a case has left, so that the next finds the machine as this one did. */
async function endLinuxTarget({ kernel, backend, bench, abort }: LinuxTarget): Promise<void> {
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
    ...o,
    signal: o?.signal === undefined ? signal : AbortSignal.any([o.signal, signal]),
  });
  const { read, waitForCount, write, poll, epollWait } = thread;
  thread.read = (fd, buf, count, o) => read.call(thread, fd, buf, count, both(o));
  thread.waitForCount = (fd, bytes, o) => waitForCount.call(thread, fd, bytes, both(o));
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
  readonly #driver: string;

  /** @param driver the driver of the kernel that gets the devices; none where it is left out */
  constructor(kernel: LinuxKernel, [first, second]: readonly [PciAddress, PciAddress], driver?: string) {
    this.#driver = driver ?? STUB;
    this.edu = new EduSeat(kernel, first, driver);
    this.secondEdu = new EduSeat(kernel, second, driver);
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
      'bind-driver': noDriver(STUB),
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

  unplug(address: PciAddress): Promise<void> {
    return eject(address);
  }

  bindDriver(address: PciAddress): void {
    bindTo(this.#driver, address);
  }

  end(): void {
    for (const edu of [this.edu, this.secondEdu]) {
      if (!existsSync(`/sys/bus/pci/devices/${edu.address}`)) continue;
      edu.silence();
      unbindFrom(this.#driver, edu.address);
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

/** Waits for a device that was pulled out to be plugged in again, and for the kernel to be through with it. */
async function twoEdus(kernel: LinuxKernel): Promise<readonly [PciAddress, PciAddress]> {
  for (let looks = 0; looks < PLUG_LOOKS; looks++) {
    const [first, second] = eduAddresses(kernel);
    if (first !== undefined && second !== undefined) {
      if (looks > 0) await delay(PLUG_MS);
      return [first, second];
    }
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
