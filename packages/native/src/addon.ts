import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

/** A value >= 0, or -errno. */
type Result = number;
/** A number is the result; a bigint names a call that sleeps, which passes its result to its last argument later. */
type MaySleep = Result | bigint;
type Done = (result: Result) => void;

/**
 * What the C++ part offers: system calls and register access, no more. Each function takes any JavaScript value at all,
 * never throws, and changes nothing where an argument is wrong. Descriptors, memory and register handles belong to the
 * JavaScript thread that got them; those of others, and Node's own, are not there.
 */
export interface Addon {
  open(path: string, flags: number): Result;
  close(fd: number): Result;
  dup(fd: number): Result;
  fcntl(fd: number, cmd: number, arg?: number): Result;
  lseek(fd: number, offset: number, whence: number): Result;
  /** The argument is an integer below 65536, or bytes that are copied in and out. */
  ioctl(fd: number, request: number, argument?: number | Uint8Array): Result;
  eventfd(count: number, flags: number): Result;
  epollCreate1(flags: number): Result;
  epollCtl(epfd: number, op: number, fd: number, events: number, data: number): Result;

  read(fd: number, address: bigint, count: number, done: Done): MaySleep;
  write(fd: number, address: bigint, count: number, done: Done): MaySleep;
  /** Reads an unsigned integer, which is the result, once poll(2) has found one. */
  waitForCount(fd: number, bytes: 4 | 8, done: Done): MaySleep;
  /** The same at once, and sleeps with the thread. EINTR now and then, where the watchdog is on. */
  readCount(fd: number, bytes: 4 | 8): Result;
  /** Three elements an entry: fd, events, revents. A wait `aside` does not keep the thread alive. */
  poll(entries: Int32Array, timeoutMs: number, done: Done, aside?: boolean): MaySleep;
  /** Two elements an event: events, data. At most 256 events a call. */
  epollWait(epfd: number, events: Float64Array, timeoutMs: number, done: Done): MaySleep;
  /** Whether the call has ended with EINTR by that; where not, its function has been called or will be. */
  interrupt(call: bigint): boolean;
  /** `turn` is called where the thread is about to sleep for one call alone, with the `done` of that. */
  sleepBy(turn: (done: Done) => void): Result;
  /** For a turn: sleeps in place of the event loop, until the call has its result, or the loop something to do: undefined. */
  sleep(): number | undefined;

  mmap(address: bigint, length: number, prot: number, flags: number, fd: number, offset: bigint): bigint | Result;
  munmap(address: bigint, length: number): Result;
  bytes(address: bigint, length: number): Uint8Array | Result;

  /** A handle for the accesses below, or -EFAULT. */
  openMmio(address: bigint, length: number): Result;
  closeMmio(handle: number): Result;
  /** Reads: the value, or -EBADF closed or unmapped, -EINVAL the offset, -EFAULT the protection, -ENODEV the device. */
  read8(handle: number, offset: number): number;
  read16(handle: number, offset: number): number;
  read32(handle: number, offset: number): number;
  read64(handle: number, offset: number): bigint | Result;
  /** Writes: 0, or an error as above, or -ERANGE the value. */
  write8(handle: number, offset: number, value: number): Result;
  write16(handle: number, offset: number, value: number): Result;
  write32(handle: number, offset: number, value: number): Result;
  write64(handle: number, offset: number, value: bigint): Result;

  /** `via` is a descriptor of /dev/usrdrv/pci, or -1 for the system calls of a patched kernel. */
  usrPciOpen(via: number, bus: number, slot: number, fn: number, dmaMask: bigint, domain: number): Result;
  usrPciGetConsistent(via: number, fd: number, size: number, vaddrp: bigint, dmaaddrp: bigint): Result;
  usrPciMmap(via: number, fd: number, mapping: bigint): Result;
  usrPciMunmap(via: number, fd: number, mapping: bigint): Result;
  usrPciIrqVectors(via: number, fd: number, min: number, max: number, irqs: bigint): Result;

  /** The requests of VFIO (linux/vfio.h). What a request fills in comes as the bytes of its structure. */
  vfioGetApiVersion(container: number): Result;
  vfioCheckExtension(container: number, extension: number): Result;
  vfioSetIommu(container: number, type: number): Result;
  vfioGetIommuInfo(container: number): Uint8Array | Result;
  /** Memory that was mapped here; anything else is -EFAULT. */
  vfioMapDma(container: number, flags: number, vaddr: bigint, iova: bigint, size: bigint): Result;
  /** The bytes that were unmapped, a bigint. */
  vfioUnmapDma(container: number, flags: number, iova: bigint, size: bigint): bigint | Result;
  /** Its flags. */
  vfioGetGroupStatus(group: number): Result;
  vfioSetContainer(group: number, container: number): Result;
  vfioGetDeviceFd(group: number, name: string): Result;
  vfioGetDeviceInfo(device: number): Uint8Array | Result;
  vfioGetRegionInfo(device: number, index: number): Uint8Array | Result;
  vfioGetIrqInfo(device: number, index: number): Uint8Array | Result;
  /** Eventfds, -1 for none, where the flags say that there are any. */
  vfioSetIrqs(
    device: number,
    flags: number,
    index: number,
    start: number,
    count: number,
    eventfds?: Int32Array,
  ): Result;
  vfioReset(device: number): Result;
  /** 1, 2 or 4 bytes at an offset of the device's file. */
  vfioReadRegion(device: number, offset: number, width: number): number;
  vfioWriteRegion(device: number, offset: number, width: number, value: number): Result;

  /** mlockall(2) for all but the JavaScript heap, which V8 does not bear. */
  lockMemory(): Result;
  unlockMemory(): Result;
  /** Of the calling thread. */
  schedSetscheduler(policy: number, priority: number): Result;
  schedGetPriorityMax(policy: number): Result;
  /** Interrupts the calls of the calling thread 20 times a second. */
  watchdog(on: boolean): Result;
}

const require = createRequire(import.meta.url);
/** Electron sleeps for the event loop in a thread of its own, and runs it only when there is something. */
const OTHERS_SLEEP = process.versions['electron'] !== undefined;
let loaded: Addon | undefined;

/**
 * The addon: the prebuilt one for this machine, or the one that was compiled here.
 * @throws Error where there is neither
 */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const nodeGypBuild: (root: string) => Addon = require('node-gyp-build');
  try {
    const native = nodeGypBuild(root);
    if (!OTHERS_SLEEP) native.sleepBy(turnOf(native));
    return native;
  } catch (cause) {
    const where = isMainThread ? 'here' : 'in this worker';
    throw new Error(`the addon of @usrdrv/native is neither prebuilt nor compiled ${where}`, { cause });
  }
}

/** Calls that wait alone are slept for here: from the addon back into JavaScript is a shorter way than from the event loop. */
export function turnOf(native: Addon): (done: Done) => void {
  return (done) => {
    const result = native.sleep();
    if (result !== undefined) done(result);
  };
}
