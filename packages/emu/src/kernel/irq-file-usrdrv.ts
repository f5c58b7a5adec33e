import {
  EAGAIN,
  EFAULT,
  EINVAL,
  ENODEV,
  O_NONBLOCK,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDNORM,
  type VirtualAddress,
} from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { TraceLog } from '../trace/log.ts';
import type { File, FileOperations, PollTable } from './file.ts';
import { type Handled, IRQ_HANDLED, type IrqCore, type IrqDesc, type IrqReturn } from './irq-desc.ts';
import { ERESTARTSYS } from './scheduler.ts';
import { SpinLock } from './spinlock.ts';
import { CPU_RELAX, SCHEDULE, type Steps, step } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { WaitQueueHead } from './wait-queue.ts';

const HANDLER_LOCK = step('handler.lock');
const HANDLER_COUNT = step('handler.count');
const HANDLER_WAKE = step('handler.wake');
const DRAIN = step('drain');
const ARM = step('arm');
const COPY = step('copy');
const UNDO = step('copy.undo');
const PREPARE = step('prepare_to_wait');
const LOOK = step('look');
const FINISH = step('finish_wait');
const POLL_WAIT = step('poll_wait');
const RELEASE = step('release');

const READABLE = POLLIN | POLLRDNORM;

/** Entries of /proc/irq/N, and what is no name. */
const TAKEN = ['', '.', '..', 'irq', 'affinity_hint', 'node', 'smp_affinity', 'spurious'];

/**
 * An open /proc/irq/N/irq with the fixed algorithm (P, profile usrdrv-6.1): one lock guards {count, masked}; the handler
 * masks once and counts; whoever is about to sleep, to poll or to say EAGAIN arms the line and then looks again.
 */
export class UsrdrvIrqFile implements FileOperations {
  count = 0;
  masked = false;
  /** The line has gone with its device: readers get ENODEV (D13). */
  removed = false;
  readonly #lock = new SpinLock();
  readonly wait = new WaitQueueHead();

  constructor(
    private readonly core: IrqCore,
    readonly desc: IrqDesc,
    private readonly trace: TraceLog,
  ) {}

  /** Claims the line, under a name that can stand as a directory beside the line's other entries (D10). 0 or -errno. */
  claim(comm: string): number {
    const { irq } = this.desc;
    const taken = TAKEN.includes(comm) ? `${comm}!` : comm;
    const name = taken.includes('/') ? taken.replaceAll('/', '!') : taken;
    this.core.forgetEdge(irq);
    const handler = (cpu: Cpu) => this.handler(cpu);
    const error = this.core.request(irq, { handler, flags: 0, name, devId: this });
    // Masked lazily, a level line would fire again at the end of each interrupt.
    if (error === 0) this.desc.unlazy = this.desc.level;
    return error;
  }

  handler(cpu: Cpu): Handled {
    if (cpu.mayStop || !this.#lock.tryAcquire(cpu)) return this.#handlerInSteps(cpu);
    this.#mask();
    this.#countOne(cpu);
    this.#lock.release(cpu);
    this.#wake(cpu);
    return IRQ_HANDLED;
  }

  *#handlerInSteps(cpu: Cpu): Steps<IrqReturn> {
    if (cpu.stopsAt(HANDLER_LOCK)) yield HANDLER_LOCK;
    while (!this.#lock.tryAcquire(cpu)) yield CPU_RELAX;
    this.#mask();
    if (cpu.stopsAt(HANDLER_COUNT)) yield HANDLER_COUNT;
    this.#countOne(cpu);
    this.#lock.release(cpu);
    if (cpu.stopsAt(HANDLER_WAKE)) yield HANDLER_WAKE;
    this.#wake(cpu);
    return IRQ_HANDLED;
  }

  #mask(): void {
    if (this.masked) return;
    this.core.disableNosync(this.desc.irq);
    this.masked = true;
  }

  #countOne(cpu: Cpu): void {
    this.count++;
    if (this.trace.on) this.trace.emit('count', this.desc.irq, `cpu${cpu.id}`, `${this.count}`);
  }

  #wake(cpu: Cpu): void {
    if (this.trace.on && this.wait.length > 0) this.trace.emit('wake', this.desc.irq, `cpu${cpu.id}`);
    this.wait.wakeUp(READABLE);
  }

  *read(file: File, task: Task, buf: VirtualAddress, length: number): Steps<number> {
    if (length < 4) return -EINVAL;
    for (;;) {
      if (task.cpu.stopsAt(DRAIN)) yield DRAIN;
      while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
      const pending = this.count;
      this.count = 0;
      this.#lock.release(task.cpu);
      if (pending > 0) {
        if (task.cpu.stopsAt(COPY)) yield COPY;
        if (task.process.mm.putInt32(buf, pending)) {
          if (this.trace.on) this.trace.emit('read', this.desc.irq, `tid ${task.tid}`, `${pending}`);
          return 4;
        }
        if (task.cpu.stopsAt(UNDO)) yield UNDO;
        while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
        this.count += pending;
        this.#lock.release(task.cpu);
        this.wait.wakeUp(READABLE);
        return -EFAULT;
      }
      if (this.removed) return -ENODEV;
      if ((file.flags & O_NONBLOCK) !== 0) {
        if (task.cpu.stopsAt(ARM)) yield ARM;
        while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
        const ready = this.#arm(task.cpu);
        if (task.cpu.stopsAt(LOOK)) yield LOOK;
        if (!ready && this.count === 0) return -EAGAIN;
        continue;
      }
      const entry = task.waiter;
      if (task.cpu.stopsAt(PREPARE)) yield PREPARE;
      this.wait.add(entry);
      task.state = TASK_INTERRUPTIBLE;
      if (task.cpu.stopsAt(ARM)) yield ARM;
      while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
      const ready = this.#arm(task.cpu);
      if (task.cpu.stopsAt(LOOK)) yield LOOK;
      const interrupted = task.signalPending;
      if (ready || this.count > 0 || this.removed || interrupted) task.state = TASK_RUNNING;
      yield SCHEDULE;
      if (task.cpu.stopsAt(FINISH)) yield FINISH;
      task.state = TASK_RUNNING;
      this.wait.remove(entry);
      if (this.count === 0 && task.signalPending) return -ERESTARTSYS;
    }
  }

  *poll(_file: File, task: Task, table: PollTable | undefined): Steps<number> {
    if (task.cpu.stopsAt(POLL_WAIT)) yield POLL_WAIT;
    table?.wait(this.wait);
    if (task.cpu.stopsAt(ARM)) yield ARM;
    while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
    const ready = this.#arm(task.cpu);
    if (task.cpu.stopsAt(LOOK)) yield LOOK;
    if (this.removed) return READABLE | POLLERR | POLLHUP;
    return ready || this.count > 0 ? READABLE : 0;
  }

  /** Nobody arms the line any more; what was sent before is seen to arrive, and dropped: it is not for the next owner (D9). */
  *release(_file: File, task: Task): Steps<void> {
    if (task.cpu.stopsAt(RELEASE)) yield RELEASE;
    while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
    this.#mask();
    this.#lock.release(task.cpu);
    while (this.core.isSent(this.desc.irq)) yield CPU_RELAX;
    this.core.free(this.desc.irq, this);
    while (this.core.inProgress(this.desc.irq)) yield CPU_RELAX;
    this.core.forgetEdge(this.desc.irq);
  }

  /** The device is gone: wakes everyone, and every later read finds out (D13). */
  remove(): void {
    this.removed = true;
    this.wait.wakeUp(READABLE | POLLERR | POLLHUP);
  }

  /**
   * Unmasks the line where nothing is pending; needs the lock, and releases it. What comes at once is for the next look.
   * True where something was pending: another reader may have taken it by the next look, and then the line would be left
   * masked behind whoever slept.
   */
  #arm(cpu: Cpu): boolean {
    const ready = this.count > 0;
    if (!ready && this.masked) {
      this.masked = false;
      this.core.enable(this.desc.irq);
    }
    this.#lock.release(cpu);
    return ready;
  }
}
