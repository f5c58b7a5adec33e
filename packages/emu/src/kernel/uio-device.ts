import {
  EINVAL,
  ENODEV,
  PAGE_SIZE,
  type PhysicalAddress,
  POLLIN,
  POLLRDNORM,
  physicalAddress,
  SIGIO,
} from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { TraceLog } from '../trace/log.ts';
import { FasyncQueue } from './fasync.ts';
import type { MmapRequest } from './file.ts';
import { IRQ_HANDLED, IRQ_NONE, type IrqCore, type IrqReturn } from './irq-desc.ts';
import { CPU_RELAX, type Steps, step } from './step.ts';
import type { UioInfo, UioMem } from './uio-info.ts';
import { WaitQueueHead } from './wait-queue.ts';

const NOTIFY = step('uio_event_notify');
const NOTIFY_WAKE = step('uio_event_notify.wake');
const UNREGISTER = step('uio_unregister');
const UNREGISTER_WAKE = step('uio_unregister.wake');

/** What a device needs of the kernel. */
export interface UioKernel {
  readonly irqCore: IrqCore;
  readonly trace: TraceLog;
}

/** A registered device (struct uio_device): the event counter, and who is to hear of it. UIO and IIO have the same. */
export class UioDevice {
  /** Undefined once it has been unregistered; whoever has it open finds out at the next call. */
  info: UioInfo | undefined;
  /** Events since it was registered, 32 bits signed, wrapping: the same for everybody (N1). */
  event = 0;
  readonly wait = new WaitQueueHead();
  readonly asyncQueue = new FasyncQueue();

  constructor(
    readonly minor: number,
    info: UioInfo,
    private readonly kernel: UioKernel,
  ) {
    this.info = info;
  }

  /** request_irq() for a device that has a line. 0 or -errno. */
  requestIrq(): number {
    const { irq, name, irqFlags: flags = 0, handler } = this.info ?? {};
    if (irq === undefined || name === undefined) return 0;
    return this.kernel.irqCore.request(irq, { handler: handler && this.#interrupt, flags, name, devId: this });
  }

  /** uio_interrupt(): asks the stub driver whether it was its device, and counts. */
  readonly #interrupt = function* (this: UioDevice, cpu: Cpu, irq: number): Steps<IrqReturn> {
    if (this.info?.handler === undefined) return IRQ_NONE;
    const result = yield* this.info.handler(cpu, irq);
    if (result === IRQ_HANDLED) yield* this.notify(`cpu${cpu.id}`);
    return result;
  }.bind(this);

  /** uio_event_notify(): one more event; also for devices that interrupt in ways of their own. */
  *notify(where = 'kernel'): Steps<void> {
    const { trace } = this.kernel;
    const irq = this.info?.irq;
    yield NOTIFY;
    this.event = (this.event + 1) | 0;
    if (trace.on) trace.emit('count', irq, where, `${this.event >>> 0}`);
    yield NOTIFY_WAKE;
    if (trace.on && this.wait.length > 0) trace.emit('wake', irq, where);
    this.wait.wakeUp(POLLIN | POLLRDNORM);
    this.asyncQueue.kill(SIGIO);
  }

  /** N7: gives the line back, then wakes everybody, who find that there is no device any more. */
  *unregister(): Steps<void> {
    const { irq } = this.info ?? {};
    yield UNREGISTER;
    if (irq !== undefined) {
      this.kernel.irqCore.free(irq, this);
      while (this.kernel.irqCore.inProgress(irq)) yield CPU_RELAX;
    }
    this.info = undefined;
    yield UNREGISTER_WAKE;
    this.wait.wakeUp(-1);
    this.asyncQueue.kill(SIGIO);
  }

  /** The physical memory behind a mapping of a whole region, or -errno (N6). */
  mmap(mem: UioMem | undefined, { length }: MmapRequest): PhysicalAddress | number {
    if (this.info === undefined || mem === undefined || mem.size === 0) return -EINVAL;
    if (length > Math.ceil(((mem.addr % PAGE_SIZE) + mem.size) / PAGE_SIZE) * PAGE_SIZE) return -EINVAL;
    if (mem.addr % PAGE_SIZE !== 0) return -ENODEV;
    // A region that ends within a page is refused as a whole.
    return length > mem.size ? -EINVAL : physicalAddress(BigInt(mem.addr));
  }
}
