import type { VirtualAddress } from './address.ts';
import type { Clock } from './backend.ts';
import type { MmioRegion } from './mmio.ts';

/**
 * The system-call contract: what a kernel with the user-mode driver interface offers to a process, call by call. It is
 * the floor below {@link Backend}: `userModeBackend(kernel)` makes a backend of it, the emulated kernel implements it,
 * and so does real Linux.
 *
 * Calls never throw for what the kernel refuses: they return the number that the kernel returns, `>= 0` or `-errno`.
 * Pointers are addresses in the caller's address space, so that EFAULT means what it means there.
 */

/** A value >= 0, or -errno. */
export type SyscallResult = number;

/** The result at once where the call did not have to sleep, else a promise of it. */
export type MaySleep<T = SyscallResult> = T | Promise<T>;

/**
 * Lets JavaScript interrupt a sleeping call as a caught signal does: it returns -EINTR, and has consumed nothing (P3). One
 * signal comes again with call after call, so a kernel does well to listen to each signal once, not once a call.
 */
export interface Interruptible {
  readonly signal?: AbortSignal;
  /**
   * Makes of the result of a call that slept what its promise resolves with; the promise rejects with what it throws. So who
   * wants something else than the result needs no promise more.
   */
  readonly onReturn?: (result: SyscallResult) => MaySleep;
  /** Told of what the promise rejects with where a signal's handler threw while the call slept. */
  readonly onThrow?: (error: unknown) => void;
}

/** One entry of poll(2). `revents` is filled in; an `fd` below 0 is passed over. */
export interface PollFd {
  readonly fd: number;
  readonly events: number;
  revents: number;
}

/** The sets of select(2); on success each holds the ready descriptors only. */
export interface FdSets {
  readonly read?: Set<number>;
  readonly write?: Set<number>;
  readonly except?: Set<number>;
}

/** An event of epoll_wait(2): ready bits, and the user's 64 bits of data (here a number, as most programs use it). */
export interface EpollEvent {
  events: number;
  data: number;
}

/** How a signal is treated: `handler` undefined is SIG_IGN for the signals that would end the process otherwise. */
export interface SigAction {
  readonly handler?: (signum: number) => void;
  /** SA_RESTART or 0. */
  readonly flags: number;
}

/** The part of a node:fs-like view that reading /proc and /sys takes. Errors are thrown with their `code`, as there. */
export interface FileView {
  readdirSync(path: string): string[];
  readFileSync(path: string): Uint8Array;
  existsSync(path: string): boolean;
}

/**
 * One thread of a process: who makes the calls. Named after the system calls; man section 2 holds, as do the rules.
 *
 * JavaScript goes on while a call sleeps: other calls of the same thread may be made meanwhile, and may sleep too, each
 * as if it had a thread of its own. A `read` of a descriptor with O_NONBLOCK never sleeps.
 */
export interface UserThread {
  readonly process: UserProcess;
  readonly tid: number;

  open(path: string, flags: number): SyscallResult;
  close(fd: number): SyscallResult;
  dup(fd: number): SyscallResult;
  /** F_GETFL and F_SETFL; where the kernel supports signals also F_GETOWN and F_SETOWN, of a process. */
  fcntl(fd: number, cmd: number, arg?: number): SyscallResult;
  lseek(fd: number, offset: number, whence: number): SyscallResult;
  read(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep;
  write(fd: number, buf: VirtualAddress, count: number, o?: Interruptible): MaySleep;
  /**
   * A read(2) of an unsigned integer of 4 or 8 bytes, which is the result, once poll(2) has found one; O_NONBLOCK makes no
   * difference. For a kernel where the two in one are cheaper.
   */
  waitForCount?(fd: number, bytes: 4 | 8, o?: Interruptible): MaySleep;
  /**
   * The same for a file without O_NONBLOCK, where the whole JavaScript thread sleeps. EINTR now and then, so that a thread can
   * be ended.
   */
  readCount?(fd: number, bytes: 4 | 8): SyscallResult;
  /**
   * ioctl(2) with a pointer, to what the request says: on Linux its size and direction are part of the number (_IOC). It
   * sleeps where the driver of the file does. EBADF; ENOTTY a request that is not the file's; EFAULT.
   */
  ioctl(fd: number, request: number, argp: VirtualAddress, o?: Interruptible): MaySleep;
  poll(fds: readonly PollFd[], timeoutMs: number, o?: Interruptible): MaySleep;
  select(sets: FdSets, timeoutMs: number | undefined, o?: Interruptible): MaySleep;
  epollCreate1(flags: number): SyscallResult;
  epollCtl(epfd: number, op: number, fd: number, event?: EpollEvent): SyscallResult;
  /** Appends what is ready to `events`, which it empties first. */
  epollWait(epfd: number, events: EpollEvent[], maxevents: number, timeoutMs: number, o?: Interruptible): MaySleep;

  /** @returns the address, a bigint; or -errno, a number */
  mmap(
    addr: VirtualAddress,
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: bigint,
  ): VirtualAddress | SyscallResult;
  munmap(addr: VirtualAddress, length: number): SyscallResult;
  mremap(addr: VirtualAddress, oldLength: number, newLength: number, flags: number): VirtualAddress | SyscallResult;

  sigaction(signum: number, action: SigAction): SyscallResult;
  /** kill(2) with the caller's own process, or tgkill(2) where a thread is named. */
  kill(target: UserProcess | UserThread, signum: number): SyscallResult;

  /** U1. `slot` and `function` are cut to 5 and 3 bits; `domain` is the fixed profile's, the 2005 one has no domains. */
  usrPciOpen(bus: number, slot: number, fn: number, dmaMask: bigint, domain?: number): SyscallResult;
  /** U3. Writes a pointer to `vaddrp` and 64 bits of bus address to `dmaaddrp`. */
  usrPciGetConsistent(fd: number, size: number, vaddrp: VirtualAddress, dmaaddrp: VirtualAddress): SyscallResult;
  /** U4. `mp` points to a {@link MAPPING_INFO}. */
  usrPciMmap(fd: number, mp: VirtualAddress): SyscallResult;
  /** U5. `mp` points to a {@link MAPPING_INFO}, of which `dmaaddr` names the mapping. */
  usrPciMunmap(fd: number, mp: VirtualAddress): SyscallResult;
  /**
   * Allocates MSI-X or else MSI vectors of an opened device, writes their Linux interrupt numbers (32 bits each) to
   * `irqs`, and returns how many; each then has its /proc/irq/N/irq. `max` 0 frees them. Not in the 2005 interface:
   * ENOSYS there. EINVAL wrong fd, min < 1 or min > max; EBUSY allocated already, or in use when freeing; ENOSPC fewer
   * than `min`; EFAULT, and nothing stays allocated. `min` and `irqs` are not looked at where `max` is 0.
   */
  usrPciIrqVectors(fd: number, min: number, max: number, irqs: VirtualAddress): SyscallResult;

  /** A new thread of the same process (pthread_create(3)). */
  clone(): UserThread | SyscallResult;
  /** A new process: descriptors shared, memory copied on write. Returns the child's thread. */
  fork(): UserThread | SyscallResult;
  /** Ends the whole process; what it held is released as the kernel releases it. */
  exitGroup(status: number): void;

  setrlimit(resource: 'RLIMIT_NOFILE' | 'RLIMIT_MEMLOCK', limit: number): SyscallResult;
  /** Drops or regains CAP_SYS_RAWIO (capset(2)). */
  capset(capabilities: { readonly CAP_SYS_RAWIO: boolean }): SyscallResult;
  /** Becomes another user; 0 is root. Leaving root drops the capabilities. */
  setuid(uid: number): SyscallResult;
}

/** A process: an address space and a descriptor table. */
export interface UserProcess {
  readonly pid: number;
  /** The command name, at most 15 bytes: what /proc/interrupts shows for a line that the process claimed (P6). */
  readonly comm: string;
  readonly thread: UserThread;
  /**
   * A live view of mapped memory: the same storage at each call, so that what one side writes the other sees. Taking it
   * touches the pages. One `ArrayBuffer` belongs to one mapping; it is detached by munmap.
   * @throws SystemError EFAULT unless the whole range lies in one readable and writable mapping of memory
   */
  bytes(address: VirtualAddress, length: number): Uint8Array;
  /**
   * Register access to a mapping of device memory. Closing it ends this access; the mapping stays until munmap.
   * @throws SystemError EFAULT unless the whole range lies in one mapping
   */
  mmio(address: VirtualAddress, length: number): MmioRegion;
}

/** What a kernel can do beyond the least; the conformance suite names each `false` when it skips a case. */
export interface KernelSupports {
  /** More threads than the one, as {@link UserThread.clone} gives. */
  readonly threads: boolean;
  readonly fork: boolean;
  readonly signals: boolean;
  /** Credentials and limits can be changed from within: setuid, capset, setrlimit. */
  readonly credentials: boolean;
  /** {@link UserThread.usrPciIrqVectors}. */
  readonly msi: boolean;
  /** An IOMMU stands between the devices and memory. */
  readonly iommu: boolean;
}

/** Which kernel the interface behaves as; SEMANTICS has a profile for each. */
export type KernelProfile = 'chubb-2.6.11' | 'usrdrv-6.1';

/** A kernel with the user-mode driver interface, as one process sees it. */
export interface UserModeKernel extends Disposable {
  readonly profile: KernelProfile;
  readonly supports: KernelSupports;
  /** The process that the caller is. */
  readonly process: UserProcess;
  readonly clock: Clock;
  readonly files: FileView;
}

/** Bytes in a page: the unit of mappings, on x86-64. */
export const PAGE_SIZE = 4096;

/** Where the members of `struct mapping_info` are (LP64, 40 bytes), as offsets in bytes; the integers are little-endian. */
export const MAPPING_INFO = {
  /** 64 bits: start of the region in user memory. */
  virtaddr: 0,
  /** 64 bits: filled in by usr_pci_mmap, the first bus address; names the mapping for usr_pci_munmap. */
  dmaaddr: 8,
  /** 32 bits: bytes in the region. */
  size: 16,
  /** 64 bits: pointer to `nents` entries of {@link SCATTERLIST}. */
  sglist: 24,
  /** 32 bits, signed: entries there are room for; updated to the entries filled in. */
  nents: 32,
  /** 32 bits: one of the DMA_ directions. */
  direction: 36,
  length: 40,
} as const;

/** Where the members of a scatterlist entry are: {unsigned long dmaaddr, unsigned long len} (LP64, 16 bytes). */
export const SCATTERLIST = { dmaaddr: 0, len: 8, length: 16 } as const;

export const DMA_BIDIRECTIONAL = 0;
export const DMA_TO_DEVICE = 1;
export const DMA_FROM_DEVICE = 2;
export const DMA_NONE = 3;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_NONBLOCK = 0o4000;
export const O_ASYNC = 0o20000;
export const O_CLOEXEC = 0o2000000;

export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_SETOWN = 8;
export const F_GETOWN = 9;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;

export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;
export const POLLRDNORM = 0x040;

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = POLLIN;
export const EPOLLRDNORM = POLLRDNORM;
export const EPOLLONESHOT = 1 << 30;
export const EPOLLET = 1 << 31;

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;

export const SIGINT = 2;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGUSR2 = 12;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGIO = 29;
export const SA_RESTART = 0x10000000;
