/**
 * In the guest: a reader of interrupts that guest/latency.c measures, `reader.mjs WAY DEVICE SEEN OFFSET`. It says in shared
 * memory when it had each interrupt, and how many it had. The ways: `sync`, `await`, `uio`, `uio-sync`, `vfio`,
 * `vfio-sync` (both by MSI).
 */
import { execFileSync } from 'node:child_process';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import {
  type Backend,
  checkResult,
  type DmaMapper,
  type IrqSource,
  MAP_SHARED,
  type MmioRegion,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  virtualAddress,
} from '@usrdrv/core';
import { LinuxKernel, uioBackend, usrdrvBackend, vfioBackend } from '@usrdrv/native';
import { lockMemory, RealtimeIrq, SCHED_FIFO, setScheduler } from '@usrdrv/native/realtime';

/** struct seen of guest/latency.c. */
const SEEN = { ns: 0, count: 8 } as const;
/** As the readers in C run. */
const PRIORITY = 10;
const DMA_MASK = 0xfff_ffffn;
/** As guest/latency.c maps. */
const MAPPINGS = 1000;
const BATCHES = 30;
/** edu's register that takes the reasons of its interrupt back (QEMU, docs/specs/edu.rst). */
const ACKNOWLEDGE = 0x64;

const [way, device = '', file = '', offset = '']: readonly string[] = isMainThread ? process.argv.slice(2) : workerData;
/** Which backend, and whether a worker sleeps in it. */
const [over, sync] = [way?.replace(/-?sync$/, ''), way?.endsWith('sync')];
if (isMainThread && sync) {
  new Worker(new URL(import.meta.url), { workerData: process.argv.slice(2) });
} else {
  await readForEver();
}

async function readForEver(): Promise<never> {
  const seen = sharedPage(file);
  const function_ = backend().pci.open(device, { dmaMask: DMA_MASK });
  const registers = function_.bar(0);
  const now = process.hrtime.bigint;
  let count = 0;
  const had = (ns: bigint): void => {
    seen.write64(Number(offset) + SEEN.ns, ns);
    registers.write32(ACKNOWLEDGE, 0xffff_ffff);
    // The first one says that it is there.
    seen.write32(Number(offset) + SEEN.count, ++count);
  };

  const mappings = way === 'vfio' ? timeMappings(function_.dma) : 0n;
  lockMemory();
  // Where the readers in C are too.
  execFileSync('/bin/busybox', ['taskset', '-p', '1', String(new LinuxKernel().process.thread.tid)], {
    stdio: 'ignore',
  });
  setScheduler(SCHED_FIFO, PRIORITY);
  const irq = over === 'vfio' ? function_.irq(0) : function_.irq();
  if (sync) {
    using realtime = new RealtimeIrq(over === '' ? freed(irq) : irq);
    for (had(0n); ; had(now())) realtime.readSync();
  }
  for (had(mappings); ; had(now())) await irq.read();
}

/** Nanoseconds that it takes to map a thousand pages, one by one, and to unmap them again: the median. */
function timeMappings(dma: DmaMapper): bigint {
  const memory = dma.allocUser(MAPPINGS * PAGE_SIZE);
  memory.bytes.fill(1);
  const pages = Array.from({ length: MAPPINGS }, (_, nth) => memory.subarray(nth * PAGE_SIZE, (nth + 1) * PAGE_SIZE));
  const times = Array.from({ length: BATCHES }, () => {
    const start = process.hrtime.bigint();
    for (const mapping of pages.map((page) => dma.map(page, 'bidirectional'))) mapping.unmap();
    return process.hrtime.bigint() - start;
  });
  memory.free();
  times.sort((a, b) => Number(a - b));
  return times[BATCHES / 2] ?? 0n;
}

/** The line of a source that is closed for it. */
function freed(irq: IrqSource): number {
  irq.close();
  return irq.line;
}

function backend(): Backend {
  if (over === 'uio') return uioBackend();
  return over === 'vfio' ? vfioBackend() : usrdrvBackend();
}

/** A page of a file that another process has mapped too. */
function sharedPage(path: string): MmioRegion {
  const { process } = new LinuxKernel();
  const fd = checkResult(process.thread.open(path, O_RDWR), 'open', path);
  const page = process.thread.mmap(virtualAddress(0n), PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0n);
  if (typeof page !== 'bigint') throw new Error(`mmap of ${path}: errno ${-page}`);
  return process.mmio(page, PAGE_SIZE);
}
