import { PCI_STATUS } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { VirtualClock } from '../machine/clock.ts';
import type { Cpu } from '../machine/cpu.ts';
import type { BusSegment } from '../machine/dma-api.ts';
import type { Iommu } from '../machine/iommu.ts';
import type { PhysicalMemory } from '../machine/memory.ts';
import { IRQ_HANDLED, IRQ_NONE, type IrqCore, type IrqReturn } from './irq-desc.ts';
import type { PhysicalBus } from './mmio-mapping.ts';
import type { PciDev } from './pci-dev.ts';
import { type Steps, step } from './step.ts';
import { WaitQueueHead } from './wait-queue.ts';

const HANDLER = step('edu_dio.handler');
const HANDLER_WAKE = step('edu_dio.handler.wake');

/** What the driver needs of the kernel. */
export interface EduKernel {
  readonly clock: VirtualClock;
  readonly oracle: Oracle;
  readonly memory: PhysicalMemory;
  readonly iommu: Iommu;
  readonly irqCore: IrqCore;
  readonly bus: PhysicalBus;
}

// QEMU, docs/specs/edu: registers of BAR 0.
const STATUS = 0x20;
const INTERRUPT_STATUS = 0x24;
const ACKNOWLEDGE = 0x64;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;

const RUN = 1;
const FROM_DEVICE = 2;
const INTERRUPT_WHEN_DONE = 4;
const COMPUTING = 1;
const DMA_DONE = 0x100;
const ALL_ONES = 0xffff_ffff;
const BUFFER_ADDRESS = 0x4_0000;
/** But for its last byte: the sample module leaves that alone, because QEMU ends when a transfer reaches it. */
export const EDU_BUFFER_SIZE = 4095;
/** Received master abort and received target abort (PCI 3.0, 6.2.3). */
const ABORTS = 0x3000;

/** An edu as a driver in the kernel has it: its registers, its interrupt, and what became of the last run. */
export class EduHardware {
  readonly wait = new WaitQueueHead();
  /** The run under way is over. */
  done = false;
  /** Off the bus, and perhaps still busy with what was called off. */
  stopped = false;
  /** Pulled out, or taken from the driver. */
  gone = false;

  constructor(
    private readonly dev: PciDev,
    private readonly kernel: EduKernel,
  ) {}

  /** The interrupt handler only wakes (S4). */
  readonly handler = function* (this: EduHardware, cpu: Cpu): Steps<IrqReturn> {
    if (cpu.stopsAt(HANDLER)) yield HANDLER;
    const status = this.#read(INTERRUPT_STATUS);
    if (status === 0 || status === ALL_ONES) return IRQ_NONE;
    this.acknowledge(status);
    if (cpu.stopsAt(HANDLER_WAKE)) yield HANDLER_WAKE;
    this.wait.wakeUp(-1);
    return IRQ_HANDLED;
  }.bind(this);

  /** Takes what the device says. Whether the run is over. */
  acknowledge(status = this.#read(INTERRUPT_STATUS)): boolean {
    if (status === ALL_ONES) this.gone ||= !this.dev.function.present;
    else if (status !== 0) this.#write(ACKNOWLEDGE, status);
    // While the device is busy, it meant something that was called off before.
    if (!this.gone && (status & DMA_DONE) !== 0 && !this.busy()) this.done = true;
    return this.done;
  }

  /** One run of addresses, to or from the buffer. */
  start(toDevice: boolean, { address, length }: BusSegment, at: number): void {
    this.done = false;
    const inside = BUFFER_ADDRESS + at;
    this.#write(DMA_SOURCE, toDevice ? address : inside);
    this.#write(DMA_DESTINATION, toDevice ? inside : address);
    this.#write(DMA_COUNT, length);
    this.#write(DMA_COMMAND, RUN | INTERRUPT_WHEN_DONE | (toDevice ? 0 : FROM_DEVICE));
  }

  busy(): boolean {
    return (this.#read(DMA_COMMAND) & RUN) !== 0 || (this.#read(STATUS) & COMPUTING) !== 0;
  }

  /** The device cannot be told to stop. Off the bus it reaches no memory. */
  stop(): void {
    this.stopped = true;
    this.dev.setMaster(false);
  }

  restart(): void {
    this.#write(ACKNOWLEDGE, ALL_ONES);
    this.dev.setMaster(true);
    this.stopped = false;
  }

  /** Whether the bus refused an access of the device since the last look. */
  refused(): boolean {
    const aborts = this.dev.function.configRead(PCI_STATUS, 2) & ABORTS;
    if (aborts === 0) return false;
    // All ones has these bits set too.
    this.gone ||= !this.dev.function.present;
    this.dev.function.configWrite(PCI_STATUS, aborts, 2);
    return true;
  }

  /** Quiet, whatever the last driver left behind. */
  silence(): void {
    this.#write(STATUS, 0);
    this.#write(ACKNOWLEDGE, ALL_ONES);
  }

  #read(offset: number): number {
    return Number(this.kernel.bus.mmioRead(this.#base + offset, 4));
  }

  #write(offset: number, value: number): void {
    this.kernel.bus.mmioWrite(this.#base + offset, 4, value);
  }

  get #base(): number {
    return this.dev.function.barAddress(0) ?? 0;
  }
}
