import type { Backend, KernelProfile, PciAddress, PhysicalAddress, UserModeKernel } from '@usrdrv/core';

/** What a step of the bench returns: nothing, once whatever it caused has had time to happen. */
export type Settles = void | Promise<void>;

/**
 * An edu device (QEMU: docs/specs/edu.rst), reached around the kernel under test: on real hardware's stand-in by a mapping
 * of its registers that belongs to nobody in the suite.
 */
export interface EduBench {
  readonly address: PciAddress;
  /** The Linux number of its INTx line, which nothing else uses. */
  readonly irq: number;
  /** Where its registers are: BAR 0, 1 MiB. */
  readonly bar0: PhysicalAddress;
  /** Writes the interrupt raise register (0x60): sets the bits in the interrupt status, and interrupts. */
  raise(bits: number): Settles;
  /** Writes the interrupt acknowledge register (0x64): clears the bits; with none left the line is let go. */
  acknowledge(bits: number): Settles;
}

/** An interrupt line that only the bench drives. */
export interface LineBench {
  readonly irq: number;
  raise(): Settles;
  lower(): Settles;
  /** Up and down again: one edge. */
  pulse(): Settles;
}

/** A second device on a line, or a driver in the kernel: what the core's functions offer to it. */
export interface KernelDriverBench {
  /**
   * request_irq(). `devId` is the pointer that tells the handlers of a shared line apart; `name` is a number here too.
   * The handler is told how to let the same line fire on another processor while it runs.
   * @returns 0 or -errno
   */
  requestIrq(irq: number, o: KernelIrqAction): number;
  /** free_irq() */
  freeIrq(irq: number, devId: object): void;
  /** disable_irq_nosync() */
  disableIrq(irq: number): void;
  /** enable_irq() */
  enableIrq(irq: number): void;
}

/** What a kernel driver asks request_irq for. */
export interface KernelIrqAction {
  readonly shared?: boolean;
  readonly devId?: object;
  /** Returns whether it was its device that interrupted. Absent: the null pointer. */
  readonly handler?: (again: () => void) => boolean;
}

/** An irq_desc, and the pin behind it. */
export interface IrqDescState {
  readonly depth: number;
  readonly disabled: boolean;
  readonly pending: boolean;
  readonly replay: boolean;
  readonly inProgress: boolean;
  /** Handlers that are linked to the line. */
  readonly actions: number;
  /** Whether the controller holds the line back. */
  readonly masked: boolean;
}

/** Where allocations and hardware fail when they are told to. */
export interface FaultBench {
  /** The nth allocation of memory from now on fails, counted from 1. */
  failAllocation(nth: number): void;
  /** Whether that has happened. From here on all succeed. */
  allocationFailed(): boolean;
  /** The next DMA mapping yields no entries, as when the IOMMU has no room left. */
  failDmaMapping?(): void;
  /** The next attempt to enable a PCI device fails. */
  failEnable?(): void;
}

/** The books of the machine's memory. */
export interface AccountingBench {
  /** Pins held by drivers, in pages. */
  pins(): number;
  /** Whether the frame behind a page of the process is marked dirty. */
  dirty(address: bigint): boolean;
}

/** One misuse of the DMA interface, as the kernel's debugging reports it (M6). */
export interface DmaReport {
  /**
   * What was done: `double unmap`, `unknown unmap`, `wrong size`, `wrong direction`, `cpu access`, `device write`,
   * `device read`, `outside every mapping`, `overlap` or `leak`.
   */
  readonly what: string;
}

/** What a bench may be able to do, by name; {@link Bench.missing} gives the reason for each that it cannot. */
export const BENCH_ABILITIES = [
  'edu',
  'second-edu',
  'lines',
  'kernel-driver',
  'irq-desc',
  'spurious-interrupts',
  'warnings',
  'failing-allocations',
  'failing-dma-mappings',
  'failing-enables',
  'accounting',
  'frames',
  'unplug',
  'master-abort',
  'read-protection',
  'bind-driver',
  'dma-debugging',
] as const;
export type BenchAbility = (typeof BENCH_ABILITIES)[number];

/**
 * The other side of the kernel under test: devices, lines, faults and books. Everything is optional; what is missing says
 * why, and the cases that need it are skipped with that reason.
 */
export interface Bench {
  readonly missing: Readonly<Partial<Record<Ability, string>>>;
  /**
   * Gives an interrupt that a system call has let through the time to arrive: a call that unmasks a line may return before
   * another processor has taken the interrupt. Absent where none is ever late.
   */
  settle?(): Settles;
  readonly edu?: EduBench;
  readonly secondEdu?: EduBench;
  readonly lines?: { readonly level: LineBench; readonly edge: LineBench };
  readonly kernelDriver?: KernelDriverBench;
  /** The state of a line, undefined where the kernel keeps none. */
  irqDesc?(irq: number): IrqDescState | undefined;
  /** A processor takes an interrupt of that line, although no device asked for one. */
  spuriousInterrupt?(irq: number): Settles;
  /** What the kernel complained about since the machine was set up. */
  warnings?(): readonly string[];
  readonly faults?: FaultBench;
  readonly accounting?: AccountingBench;
  /** How many frames are in use, by anybody. */
  frames?(): number;
  /** Pulls a device out of its slot. */
  unplug?(address: PciAddress): Settles;
  /** A driver of the kernel takes a device. */
  bindDriver?(address: PciAddress): Settles;
  dmaReports?(): readonly DmaReport[];
}

/** The machine that a case wants, where any other than the usual one. */
export interface MachineOptions {
  /** The usual one has an I/O APIC. */
  readonly interrupts?: '8259';
  /** The usual one has an IOMMU where the kernel under test supports it. */
  readonly iommu?: false;
  /** The command name of the process. */
  readonly comm?: string;
}

/** Machines other than the usual one, as abilities. */
export const MACHINE_ABILITIES = ['8259', 'no-iommu', 'comm'] as const;
export type MachineAbility = (typeof MACHINE_ABILITIES)[number];

/** What a case runs on: fresh for each, and nobody else's. */
export interface Target {
  readonly kernel: UserModeKernel;
  /** A backend over that same kernel and process. */
  readonly backend: Backend;
  readonly bench: Bench;
  /** Whether the backend opens functions by usr_pci_open (U1). Left out: yes. */
  readonly standsOnUsrPci?: boolean;
  /** The MSI vector that the cases take the device's interrupts by. Left out: its INTx line. */
  readonly vector?: number;
  /**
   * Whether unmasking a line that is still asserted counts it without an interrupt: the kernel asks the device instead, as
   * VFIO does. Left out: no.
   */
  readonly asksDeviceAtUnmask?: boolean;
}

/** Whatever a case can need. */
export type Ability =
  | BenchAbility
  | MachineAbility
  | 'threads'
  | 'fork'
  | 'signals'
  | 'credentials'
  | 'intx'
  | 'msi'
  | 'masked-line'
  | 'masked-vectors'
  | 'counted-messages'
  | 'dma'
  | 'usr-pci'
  | 'iommu'
  | 'consistent-larger-than-page';

/** What can be had, known before anything runs, so that a runner can name its skips up front. */
export interface SuiteSupports {
  readonly profile: KernelProfile;
  /** The reason, for each ability that is not there. */
  readonly missing: Readonly<Partial<Record<Ability, string>>>;
}

/**
 * Reads off a target what it supports.
 * @param machines the reason for each machine other than the usual one that cannot be had
 */
export function supportsOf(target: Target, machines: Partial<Record<MachineAbility, string>> = {}): SuiteSupports {
  const { kernel, backend, bench } = target;
  const missing: Partial<Record<Ability, string>> = { ...bench.missing, ...machines };
  for (const ability of ['threads', 'fork', 'signals', 'credentials', 'msi', 'iommu'] as const) {
    // A backend that does without the usr_pci calls has MSI of its own, or none.
    if (ability === 'msi' && target.standsOnUsrPci === false) continue;
    if (!kernel.supports[ability]) missing[ability] ??= `the kernel ${kernel.profile} is without ${ability} here`;
  }
  if (!backend.supports.msi) missing.msi ??= backend.supports.reasons?.msi ?? `${backend.name} has no MSI`;
  if (target.vector !== undefined) missing.intx = 'the interrupts are taken by MSI';
  if (!backend.supports.masksUntilNextWait) {
    missing['masked-line'] = backend.supports.reasons?.masksUntilNextWait ?? `${backend.name} does not mask the line`;
  }
  if (!backend.supports.masksVectors) missing['masked-vectors'] = `${backend.name} masks no MSI vectors`;
  else missing['counted-messages'] = `${backend.name} masks MSI vectors until the next wait`;
  if (!backend.supports.dma) missing.dma = backend.supports.reasons?.dma ?? `${backend.name} has no DMA`;
  if (target.standsOnUsrPci === false) missing['usr-pci'] = `${backend.name} does without the usr_pci calls`;
  if (!backend.supports.consistentLargerThanPage) {
    missing['consistent-larger-than-page'] = `${backend.name} gives consistent memory by the page`;
  }
  return { profile: kernel.profile, missing };
}
