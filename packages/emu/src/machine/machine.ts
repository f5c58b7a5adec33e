import type { KernelProfile } from '@usrdrv/core';
import type { DeviceModel } from '../devices/device.ts';
import { calm, type Oracle } from '../explore/oracle.ts';
import { IrqCore2611 } from '../kernel/irq-core-2.6.11.ts';
import { IrqCore61 } from '../kernel/irq-core-6.1.ts';
import type { IrqCore } from '../kernel/irq-desc.ts';
import { EmulatedKernel } from '../kernel/kernel.ts';
import { Scheduler } from '../kernel/scheduler.ts';
import { TraceLog } from '../trace/log.ts';
import { VirtualClock } from './clock.ts';
import { Cpus } from './cpu.ts';
import { DmaDebug } from './dma-debug.ts';
import { Idle } from './idle.ts';
import { IoApic } from './io-apic.ts';
import { Iommu } from './iommu.ts';
import type { IrqFabric, PinnedIrqChip } from './irq-chip.ts';
import { IrqLine } from './irq-line.ts';
import { PhysicalMemory } from './memory.ts';
import { MsiController } from './msi.ts';
import type { PciFunction } from './pci-function.ts';
import { PciHost, type PlugOptions } from './pci-host.ts';
import { Pic8259 } from './pic-8259.ts';

/** What a machine is made of. Everything left out is as it is in most tests. */
export interface MachineOptions {
  /** Which kernel runs on it. Left out: `usrdrv-6.1`. */
  readonly kernel?: KernelProfile;
  /** Left out: 2. */
  readonly processors?: number;
  /** Left out: `io-apic`, whose lines from 16 on are level-triggered and the ones below edge-triggered. */
  readonly interrupts?: 'io-apic' | '8259';
  /** Bytes of RAM. Left out: 1 GiB; only what is used costs anything. */
  readonly memory?: number;
  /** Whether an IOMMU stands between devices and memory. Left out: yes. */
  readonly iommu?: boolean;
  /** What is in the slots at power-on. */
  readonly devices?: readonly (DeviceModel | ({ readonly device: DeviceModel } & PlugOptions))[];
  /** Decides whatever could go one way or another. Left out: {@link calm}, nothing goes wrong. */
  readonly oracle?: Oracle;
  /** Whether the event log is on from the start. */
  readonly trace?: boolean;
  /** The command name of the process that uses the kernel, at most 15 bytes. Left out: `node`. */
  readonly comm?: string;
}

/** The most processors that an interrupt message can name here. */
const MOST_PROCESSORS = 64;
const DEFAULT_MEMORY = 2 ** 30;
/** Message vectors start where the I/O APIC's pins end. */
const FIRST_MSI_IRQ = 24;

/** A machine, switched on: processors, memory, buses, interrupt controllers, devices, and the kernel that runs on them. */
export class Machine {
  /** What decides whatever could go one way or another; every part of the machine asks this one. */
  readonly oracle: Oracle;
  /** Virtual time, from 0 at power-on. */
  readonly clock = new VirtualClock();
  /** What happened, in order, while `trace.on` was set. */
  readonly trace: TraceLog;
  /** The processors, and which of them have interrupts off. */
  readonly cpus: Cpus;
  /** The interrupt controller that devices' pins lead to (I8). */
  readonly chip: PinnedIrqChip;
  /** Takes the messages of MSI and MSI-X vectors. */
  readonly msi: MsiController;
  /** RAM, in frames. */
  readonly memory: PhysicalMemory;
  /** The reports of DMA misuse (M6), each with both stacks. */
  readonly dmaDebug = new DmaDebug();
  /** What devices see memory through, and who may reach what of it. */
  readonly iommu: Iommu;
  /** The PCI bus: what is plugged in, and the back door to plug and unplug while the machine runs. */
  readonly pci: PciHost;
  /** Knows when everybody waits; then time jumps. */
  readonly idle: Idle;
  /** Runs tasks that were woken, and takes interrupts that arrived. */
  readonly scheduler: Scheduler;
  /** The kernel's interrupt core: lines, their chips and handlers (I1 to I9). */
  readonly irqs: IrqCore;
  /** The kernel, as programs see it: processes, system calls, files. */
  readonly kernel: EmulatedKernel;
  readonly #fabric: IrqFabric;
  readonly #lines = new Map<number, IrqLine>();
  readonly #wired = new Set<number>();

  /**
   * @throws RangeError a number of processors, a size of memory or a device that no machine can have
   */
  constructor(o: MachineOptions = {}) {
    const { kernel: profile = 'usrdrv-6.1', processors = 2, interrupts = 'io-apic', memory = DEFAULT_MEMORY } = o;
    if (profile !== 'usrdrv-6.1' && profile !== 'chubb-2.6.11') throw new RangeError(`no kernel is called ${profile}`);
    if (!Number.isInteger(processors) || processors < 1 || processors > MOST_PROCESSORS) {
      throw new RangeError(`a machine has 1 to ${MOST_PROCESSORS} processors, not ${processors}`);
    }
    if (interrupts !== 'io-apic' && interrupts !== '8259') {
      throw new RangeError(`no interrupt controller is called ${interrupts}`);
    }
    this.oracle = o.oracle ?? calm;
    if (typeof this.oracle.choose !== 'function') throw new TypeError('an oracle has a function choose');
    this.trace = new TraceLog(this.clock);
    this.trace.on = o.trace ?? false;
    this.cpus = new Cpus(processors);
    this.#fabric = { cpus: this.cpus, oracle: this.oracle, trace: this.trace };
    this.chip = interrupts === '8259' ? new Pic8259(this.#fabric) : new IoApic(this.#fabric);
    this.msi = new MsiController(this.#fabric, FIRST_MSI_IRQ);
    this.irqs =
      profile === 'usrdrv-6.1'
        ? new IrqCore61(this.chip, this.msi, this.#fabric)
        : new IrqCore2611(this.chip, this.#fabric);
    this.idle = new Idle(this.clock, this.oracle, () => this.scheduler.settle());
    this.scheduler = new Scheduler(this.cpus, this.oracle, this.idle, this.irqs);
    this.memory = new PhysicalMemory(memory, this.trace, this.oracle);
    this.iommu = new Iommu(this.memory, this.dmaDebug, this.oracle, this.trace, o.iommu ?? true);
    this.pci = new PciHost({
      clock: this.clock,
      oracle: this.oracle,
      trace: this.trace,
      memory: this.iommu,
      wire: (irq) => this.#wire(irq),
      interruptMessage: (address, data) => this.msi.write(address, data),
      settle: () => this.scheduler.settle(),
      unplugged: (gone) => this.#unplugged(gone),
    });
    for (const device of o.devices ?? []) {
      if ('device' in device) this.pci.plug(device.device, device);
      else this.pci.plug(device);
    }
    this.kernel = new EmulatedKernel(this, profile, o.comm ?? 'node');
  }

  /**
   * A wire to a pin of the interrupt controller, whoever else is on it.
   * @throws RangeError a pin that the controller does not have
   */
  line(irq: number): IrqLine {
    const known = this.#lines.get(irq);
    if (known !== undefined) return known;
    if (!Number.isInteger(irq) || !this.chip.has(irq)) throw new RangeError(`the ${this.chip.name} has no pin ${irq}`);
    const line = new IrqLine(irq, this.chip, this.#fabric);
    this.#lines.set(irq, line);
    return line;
  }

  /** After the outside world did something to the machine: takes the interrupts that came of it, runs who was woken. */
  kick(): void {
    this.scheduler.settle();
  }

  #unplugged(gone: PciFunction): void {
    this.kernel.unplugged(gone);
  }

  /** A line for a function's pin: the one that is asked for, or the first level-triggered one that no function has. */
  #wire(irq: number | undefined): IrqLine {
    const chosen = irq ?? this.#freePin();
    this.#wired.add(chosen);
    return this.line(chosen);
  }

  #freePin(): number {
    for (let irq = 0; irq < FIRST_MSI_IRQ; irq++) {
      if (this.chip.has(irq) && this.chip.trigger(irq) === 'level' && !this.#wired.has(irq)) return irq;
    }
    throw new RangeError(`the ${this.chip.name} has no free pin left: let devices share one with the option irq`);
  }
}
