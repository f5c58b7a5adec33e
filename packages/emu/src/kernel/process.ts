import { EINVAL, ENOMEM, EPERM, ESRCH, type MmioRegion, type UserProcess, type VirtualAddress } from '@usrdrv/core';
import { FdTable, type Rlimits } from './fd-table.ts';
import type { File, FileOwner } from './file.ts';
import type { EmulatedKernel } from './kernel.ts';
import type { MmStruct } from './mm.ts';
import { NSIG, Signals } from './signals.ts';
import { Thread } from './syscalls.ts';
import type { Task } from './task.ts';

/** The most descriptors that a process can be allowed (/proc/sys/fs/nr_open). */
const NR_OPEN = 1_048_576;

/** Who a process is, and what it may do. */
export interface Credentials {
  uid: number;
  /** CAP_SYS_RAWIO is in effect; and whether it may be taken up again. */
  capSysRawio: boolean;
  permittedSysRawio: boolean;
}

/** What a process is made from. */
export interface ProcessParts {
  readonly comm: string;
  readonly credentials: Credentials;
  readonly rlimits: Rlimits;
  readonly files?: FdTable;
  readonly mm: MmStruct;
  readonly signals?: Signals;
}

/** A process: an address space, descriptors, credentials, and the threads that use them. */
export class Process implements UserProcess, FileOwner {
  readonly kernel: EmulatedKernel;
  readonly pid: number;
  readonly comm: string;
  readonly credentials: Credentials;
  readonly rlimits: Rlimits;
  readonly files: FdTable;
  readonly mm: MmStruct;
  readonly thread: Thread;
  readonly threads: Thread[] = [];
  readonly signals: Signals;
  /** The process has ended; what calls of it were asleep may still be on their way out. */
  dead = false;
  /** Calls that are not over, sleeping ones and those whose signal handlers run. */
  #calls = 0;

  constructor(kernel: EmulatedKernel, pid: number, parts: ProcessParts) {
    this.kernel = kernel;
    this.pid = pid;
    this.comm = parts.comm;
    this.credentials = parts.credentials;
    this.rlimits = parts.rlimits;
    this.files = parts.files ?? new FdTable(parts.rlimits);
    this.mm = parts.mm;
    this.signals = parts.signals ?? new Signals();
    this.thread = new Thread(this, pid);
    this.threads.push(this.thread);
  }

  get uid(): number {
    return this.credentials.uid;
  }

  get capSysRawio(): boolean {
    return this.credentials.capSysRawio;
  }

  bytes(address: VirtualAddress, length: number): Uint8Array {
    return this.mm.bytes(address, length);
  }

  mmio(address: VirtualAddress, length: number): MmioRegion {
    return this.mm.mmio(address, length);
  }

  /**
   * kill(2), tgkill(2): one task takes the signal. The first that sleeps in a call is interrupted; where none sleeps, the
   * handler runs at once.
   */
  kill(signum: number, thread?: Thread): number {
    if (!Number.isInteger(signum) || signum < 0 || signum > NSIG) return -EINVAL;
    if (this.dead) return -ESRCH;
    if (signum === 0) return 0;
    const disposition = this.signals.disposition(signum);
    if (disposition === 'terminate') this.exit();
    if (disposition !== 'handle') return 0;
    const tasks = thread === undefined ? this.threads.flatMap((each) => each.tasks) : thread.tasks;
    const task = tasks.find((each) => each.sleeper !== undefined && !each.signalPending) ?? tasks[0];
    if (task === undefined) return -ESRCH;
    this.signals.queue(task, signum);
    if (task.sleeper === undefined) {
      this.deliverSignals(task);
    } else {
      task.signal();
      this.kernel.machine.scheduler.settle();
    }
    return 0;
  }

  /** send_sigio(), in an interrupt: the process hears of it when that is over. */
  signal(signum: number): void {
    this.kernel.machine.scheduler.later(() => this.kill(signum));
  }

  /** Runs the handlers of what waits for a task on its way back to user space. Whether the call restarts (P4). */
  deliverSignals(task: Task): boolean {
    task.signalPending = false;
    return !this.dead && this.signals.deliver(task);
  }

  /** fork(2): the same files, a copy of the memory, none of the other threads. The child or -errno. */
  fork(): Process | number {
    if (this.dead) return -ESRCH;
    const { kernel } = this;
    if (kernel.machine.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const mm = this.mm.fork(kernel.profile);
    if (mm === undefined) return -ENOMEM;
    const rlimits = { ...this.rlimits };
    return kernel.add({
      comm: this.comm,
      credentials: { ...this.credentials },
      rlimits,
      files: this.files.fork(rlimits),
      mm,
      signals: this.signals.fork(),
    });
  }

  /** pthread_create(3): another thread, or -errno. */
  clone(): Thread | number {
    if (this.dead) return -ESRCH;
    if (this.kernel.machine.oracle.choose(2, 'alloc.fail') === 1) return -ENOMEM;
    const thread = new Thread(this, this.kernel.newPid());
    this.threads.push(thread);
    return thread;
  }

  setrlimit(resource: keyof Rlimits, limit: number): number {
    if (this.dead) return -ESRCH;
    if (resource !== 'RLIMIT_NOFILE' && resource !== 'RLIMIT_MEMLOCK') return -EINVAL;
    if (limit !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(limit) || limit < 0)) return -EINVAL;
    if (resource === 'RLIMIT_NOFILE' && limit > NR_OPEN) return -EPERM;
    // There is one limit here, both hard and soft: only root raises it.
    if (limit > this.rlimits[resource] && this.uid !== 0) return -EPERM;
    this.rlimits[resource] = limit;
    return 0;
  }

  capset(sysRawio: boolean): number {
    if (this.dead) return -ESRCH;
    if (typeof sysRawio !== 'boolean') return -EINVAL;
    if (sysRawio && !this.credentials.permittedSysRawio) return -EPERM;
    this.credentials.capSysRawio = sysRawio;
    return 0;
  }

  setuid(uid: number): number {
    if (this.dead) return -ESRCH;
    if (!Number.isInteger(uid) || uid < 0 || uid >= 0xffff_ffff) return -EINVAL;
    if (this.uid !== 0 && uid !== this.uid) return -EPERM;
    if (this.uid === 0 && uid !== 0) {
      this.credentials.capSysRawio = false;
      this.credentials.permittedSysRawio = false;
    }
    this.credentials.uid = uid;
    return 0;
  }

  /** exit_group(2), and what SIGKILL does: no task comes back to user space, and the last one takes everything down. */
  exit(): void {
    if (this.dead) return;
    this.dead = true;
    for (const { tasks } of this.threads) {
      for (const task of tasks) {
        task.killed = true;
        task.signal();
        task.wakeUp();
      }
    }
    this.kernel.machine.scheduler.settle();
    if (this.#calls === 0) this.#release();
  }

  /** A call of the process begins. */
  enter(): void {
    this.#calls++;
  }

  /** A call of the process is over. */
  leave(): void {
    this.#calls--;
    if (this.dead && this.#calls === 0) this.#release();
  }

  /** Drops a reference to a file; the last one releases it. */
  put(file: File): void {
    const task = this.thread.tasks[0];
    if (file.refs > 1 || task === undefined) file.refs--;
    else this.kernel.machine.scheduler.runNow(task, file.put(task));
  }

  /** exit_mm() and exit_files() */
  #release(): void {
    this.mm.exit();
    for (const file of this.files.removeAll()) this.put(file);
    this.kernel.remove(this);
  }
}
