import { EAGAIN, EFAULT, EINVAL, O_NONBLOCK, POLLIN, POLLRDNORM, type VirtualAddress } from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { TraceLog } from '../trace/log.ts';
import { defaultLlseek, type File, type FileOperations, type PollTable } from './file.ts';
import { type Handled, IRQ_DISABLED, IRQ_HANDLED, type IrqCore, type IrqDesc, type IrqReturn } from './irq-desc.ts';
import { ERESTARTSYS } from './scheduler.ts';
import { CPU_RELAX, SCHEDULE, type Steps, step } from './step.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type Task } from './task.ts';
import { WaitQueueHead } from './wait-queue.ts';

const H1 = step('H1');
const H2 = step('H2');
const H3 = step('H3');
const R1 = step('R1');
const R2A = step('R2a');
const R2B = step('R2b');
const R2C = step('R2c');
const R3A = step('R3a');
const R3B = step('R3b');
const R3C = step('R3c');
const R3D = step('R3d');
const R4 = step('R4');
const R6 = step('R6');
const Q0 = step('Q0');
const Q1 = step('Q1');
const Q2 = step('Q2');
const Q3 = step('Q3');
const Q4 = step('Q4');

const READABLE = POLLIN | POLLRDNORM;

/**
 * An open /proc/irq/N/irq as posted in 2005 (P, profile chubb-2.6.11), defects included: nothing but the order of the
 * steps protects `count`. A step's name is yielded before the step is taken.
 */
export class ChubbIrqFile implements FileOperations {
  count = 0;
  readonly wait = new WaitQueueHead();

  constructor(
    private readonly core: IrqCore,
    readonly desc: IrqDesc,
    private readonly trace: TraceLog,
  ) {}

  /** Claims the line under the command's name, whatever it is (D10). 0 or -errno. */
  claim(comm: string): number {
    const handler = (cpu: Cpu) => this.handler(cpu);
    return this.core.request(this.desc.irq, { handler, flags: 0, name: comm, devId: this });
  }

  handler(cpu: Cpu): Handled {
    if (cpu.mayStop) return this.#handlerInSteps(cpu);
    this.core.disableNosync(this.desc.irq);
    this.#countOne(cpu);
    this.#wake(cpu);
    return IRQ_HANDLED;
  }

  *#handlerInSteps(cpu: Cpu): Steps<IrqReturn> {
    if (cpu.stopsAt(H1)) yield H1;
    this.core.disableNosync(this.desc.irq);
    if (cpu.stopsAt(H2)) yield H2;
    this.#countOne(cpu);
    if (cpu.stopsAt(H3)) yield H3;
    this.#wake(cpu);
    return IRQ_HANDLED;
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
    if (task.cpu.stopsAt(R1)) yield R1;
    let pending = this.count;
    if (pending === 0) {
      if (task.cpu.stopsAt(R2A)) yield R2A;
      if ((this.desc.status & IRQ_DISABLED) !== 0) {
        if (task.cpu.stopsAt(R2B)) yield R2B;
        this.core.enable(this.desc.irq);
      }
      if (task.cpu.stopsAt(R2C)) yield R2C;
      if ((file.flags & O_NONBLOCK) !== 0) return -EAGAIN;
      const entry = task.waiter;
      while (pending === 0) {
        if (task.cpu.stopsAt(R3A)) yield R3A;
        this.wait.add(entry);
        task.state = TASK_INTERRUPTIBLE;
        if (task.cpu.stopsAt(R3B)) yield R3B;
        pending = this.count;
        if (pending === 0) {
          if (task.cpu.stopsAt(R3C)) yield R3C;
          if (task.signalPending) task.state = TASK_RUNNING;
          yield SCHEDULE;
        }
        if (task.cpu.stopsAt(R3D)) yield R3D;
        task.state = TASK_RUNNING;
        this.wait.remove(entry);
        if (task.signalPending) return -ERESTARTSYS;
      }
    }
    if (task.cpu.stopsAt(R4)) yield R4;
    if (!task.process.mm.putInt32(buf, pending)) return -EFAULT;
    file.position += 4;
    if (task.cpu.stopsAt(R6)) yield R6;
    this.count -= pending;
    if (this.trace.on) this.trace.emit('read', this.desc.irq, `tid ${task.tid}`, `${pending}`);
    return 4;
  }

  *poll(_file: File, task: Task, table: PollTable | undefined): Steps<number> {
    if (task.cpu.stopsAt(Q0)) yield Q0;
    if (this.count > 0) return READABLE;
    if (task.cpu.stopsAt(Q1)) yield Q1;
    if ((this.desc.status & IRQ_DISABLED) !== 0) {
      if (task.cpu.stopsAt(Q2)) yield Q2;
      this.core.enable(this.desc.irq);
    }
    if (task.cpu.stopsAt(Q3)) yield Q3;
    table?.wait(this.wait);
    if (task.cpu.stopsAt(Q4)) yield Q4;
    return this.count > 0 ? READABLE : 0;
  }

  /** It has none of its own, so the default one moves the position that nothing looks at. */
  llseek(file: File, offset: number, whence: number): number {
    return defaultLlseek(file, offset, whence);
  }

  *release(): Steps<void> {
    this.core.free(this.desc.irq, this);
    while (this.core.inProgress(this.desc.irq)) yield CPU_RELAX;
  }
}
