import { type Backend, type KernelProfile, type PciAddress, physicalAddress } from '@usrdrv/core';
import { EduDevice } from '../devices/edu.ts';
import { backendOf, type EmulatedInterface } from '../emulated.ts';
import type { ChoiceTag, Oracle } from '../explore/oracle.ts';
import {
  IRQ_DISABLED,
  IRQ_HANDLED,
  IRQ_INPROGRESS,
  IRQ_NONE,
  IRQ_PENDING,
  IRQ_REPLAY,
  IRQF_SHARED,
  type IrqReturn,
} from '../kernel/irq-desc.ts';
import type { EmulatedKernel } from '../kernel/kernel.ts';
import type { Steps } from '../kernel/step.ts';
import type { Cpu } from '../machine/cpu.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';

/** The machine that a conformance case wants, where any other than the usual one. */
export interface TargetOptions {
  readonly interrupts?: '8259';
  readonly iommu?: false;
  readonly comm?: string;
  /** Left out: `usrdrv`. */
  readonly interface?: EmulatedInterface;
  /** What goes wrong. Left out, what the bench is told to let fail. */
  readonly oracle?: Oracle;
}

/** What `@usrdrv/conformance` runs a case on: see its Target and Bench, which this is one of. */
export interface EmulatedTarget {
  readonly machine: Machine;
  readonly kernel: EmulatedKernel;
  readonly backend: Backend;
  readonly bench: EmulatedBench;
  readonly standsOnUsrPci: boolean;
}

/** A fresh machine with two edu devices, each on a line of its own, and the other side of its kernel. */
export function emulatedTarget(profile: KernelProfile, o: TargetOptions = {}): EmulatedTarget {
  const faults = new BenchFaults();
  const devices = [new EduDevice(), new EduDevice()] as const;
  const options: MachineOptions = { kernel: profile, oracle: faults, devices, ...o };
  const machine = new Machine(options);
  const { kernel } = machine;
  const backend = backendOf(machine, o.interface);
  const standsOnUsrPci = (o.interface ?? 'usrdrv') === 'usrdrv';
  return { machine, kernel, backend, bench: new EmulatedBench(machine, devices, faults), standsOnUsrPci };
}

/** Switches the machine off. */
export function endTarget({ kernel, backend }: EmulatedTarget): void {
  backend.close();
  kernel[Symbol.dispose]();
}

/** The other side of an emulated kernel. Nothing is missing. */
export class EmulatedBench {
  readonly missing = {};
  readonly edu;
  readonly secondEdu;
  readonly lines;
  readonly kernelDriver;
  readonly accounting;
  readonly #frames: number;

  constructor(
    private readonly machine: Machine,
    [first, second]: readonly [EduDevice, EduDevice],
    readonly faults: BenchFaults,
  ) {
    this.edu = new EduSeat(machine, first);
    this.secondEdu = new EduSeat(machine, second);
    this.kernelDriver = new KernelDriver(machine);
    const pins = machine.chip.name === 'XT-PIC' ? { level: 11, edge: 7 } : { level: 23, edge: 10 };
    this.lines = { level: new Wire(machine, pins.level), edge: new Wire(machine, pins.edge) };
    const { memory } = machine;
    this.#frames = memory.freeFrames;
    this.accounting = {
      pins: () => memory.pinned,
      dirty: (address: bigint) => isDirty(machine, address),
    };
  }

  frames(): number {
    return this.#frames - this.machine.memory.freeFrames;
  }

  irqDesc(irq: number) {
    const desc = this.machine.irqs.desc(irq);
    if (desc === undefined) return undefined;
    return {
      depth: desc.depth,
      disabled: (desc.status & IRQ_DISABLED) !== 0,
      pending: (desc.status & IRQ_PENDING) !== 0,
      replay: (desc.status & IRQ_REPLAY) !== 0,
      inProgress: (desc.status & IRQ_INPROGRESS) !== 0,
      actions: desc.actions.length,
      masked: desc.chip.isMasked(irq),
    };
  }

  spuriousInterrupt(irq: number): void {
    this.machine.cpus.boot.request(irq);
    this.machine.kick();
  }

  warnings(): readonly string[] {
    return [...this.machine.irqs.warnings, ...this.machine.kernel.usrPci.warnings];
  }

  unplug(address: PciAddress): void {
    this.machine.pci.unplug(address);
  }

  bindDriver(address: PciAddress): void {
    const dev = this.machine.kernel.pciDevs.get(`${address}`);
    if (dev !== undefined) dev.driver = 'bench';
  }

  dmaReports(): readonly { readonly what: string }[] {
    return this.machine.dmaDebug.reports;
  }
}

/** Fails what it is told to; everything else is calm. */
class BenchFaults implements Oracle {
  readonly asksAtSteps = false;
  #allocations = 0;
  readonly #once = new Set<ChoiceTag>();

  choose(_n: number, tag: ChoiceTag): number {
    if (tag === 'alloc.fail') return this.#allocations > 0 && --this.#allocations === 0 ? 1 : 0;
    return this.#once.delete(tag) ? 1 : 0;
  }

  failAllocation(nth: number): void {
    this.#allocations = nth;
  }

  allocationFailed(): boolean {
    const failed = this.#allocations === 0;
    this.#allocations = 0;
    return failed;
  }

  failDmaMapping(): void {
    this.#once.add('dma.map');
  }

  failEnable(): void {
    this.#once.add('pci.enable');
  }
}

/** An edu device in its slot. */
class EduSeat {
  readonly address;
  readonly irq;
  readonly bar0;

  constructor(
    private readonly machine: Machine,
    private readonly device: EduDevice,
  ) {
    const seat = machine.pci.functions().find(({ model }) => model === device);
    if (seat?.line === undefined) throw new Error('edu is in no slot, or has no line');
    this.address = seat.address;
    this.irq = seat.line.irq;
    this.bar0 = physicalAddress(seat.barAddress(0) ?? 0);
  }

  raise(bits: number): void {
    this.device.write(INTERRUPT_RAISE, bits, 4);
    this.machine.kick();
  }

  acknowledge(bits: number): void {
    this.device.write(INTERRUPT_ACKNOWLEDGE, bits, 4);
    this.machine.kick();
  }
}

const INTERRUPT_RAISE = 0x60;
const INTERRUPT_ACKNOWLEDGE = 0x64;

/** A line that only the bench drives. */
class Wire {
  constructor(
    private readonly machine: Machine,
    readonly irq: number,
  ) {}

  raise(): void {
    this.machine.line(this.irq).raise(this);
    this.machine.kick();
  }

  lower(): void {
    this.machine.line(this.irq).lower(this);
    this.machine.kick();
  }

  pulse(): void {
    this.machine.line(this.irq).pulse();
    this.machine.kick();
  }
}

/** A driver in the kernel. */
class KernelDriver {
  constructor(private readonly machine: Machine) {}

  requestIrq(
    irq: number,
    {
      shared = false,
      devId,
      handler,
    }: { readonly shared?: boolean; readonly devId?: object; readonly handler?: (again: () => void) => boolean },
  ): number {
    const { irqs } = this.machine;
    const again = (cpu: Cpu): void => {
      const { all } = this.machine.cpus;
      const flow = irqs.handle(all[(cpu.id + 1) % all.length] ?? cpu, irq);
      // The other processor runs straight through.
      if (flow !== undefined) while (flow.next().done !== true);
    };
    const call =
      handler &&
      function* (cpu: Cpu): Steps<IrqReturn> {
        return handler(() => again(cpu)) ? IRQ_HANDLED : IRQ_NONE;
      };
    const flags = shared ? IRQF_SHARED : 0;
    const result = irqs.request(irq, { handler: call, flags, name: 'bench', devId });
    this.machine.kick();
    return result;
  }

  freeIrq(irq: number, devId: object): void {
    this.machine.irqs.free(irq, devId);
  }

  disableIrq(irq: number): void {
    this.machine.irqs.disableNosync(irq);
  }

  enableIrq(irq: number): void {
    this.machine.irqs.enable(irq);
    this.machine.kick();
  }
}

/** Whether the frame behind a page of the first process is marked dirty. */
function isDirty({ kernel, memory }: Machine, address: bigint): boolean {
  const frames = runThrough(kernel.process.mm.pinUserPages(address, 1, { write: false, longterm: false }));
  for (const frame of frames) memory.unpin(frame);
  return frames.some(({ dirty }) => dirty);
}

function runThrough<T>(steps: Steps<T>): T {
  for (;;) {
    const next = steps.next();
    if (next.done === true) return next.value;
  }
}
