import {
  type Clock,
  checkResult,
  type FileView,
  type KernelProfile,
  type KernelSupports,
  PciAddress,
  type UserModeKernel,
} from '@usrdrv/core';
import type { Cpu } from '../machine/cpu.ts';
import type { Machine } from '../machine/machine.ts';
import type { PciFunction } from '../machine/pci-function.ts';
import { DevFs } from './dev-mem.ts';
import { EduPciDriver } from './edu-pci-driver.ts';
import { FileTable } from './file.ts';
import { Iio } from './iio.ts';
import { UsrdrvIrqFile } from './irq-file-usrdrv.ts';
import { MmStruct } from './mm.ts';
import { PciDevs } from './pci-dev.ts';
import { PciDrivers } from './pci-driver.ts';
import { ProcFs } from './proc.ts';
import { Process, type ProcessParts } from './process.ts';
import { ProcessClock } from './process-clock.ts';
import { Thread } from './syscalls.ts';
import { SysFs } from './sysfs.ts';
import { Uio } from './uio.ts';
import { IioPciStub, UioPciGeneric } from './uio-pci-generic.ts';
import type { UsrPci } from './usr-pci.ts';
import { UsrPciChubb } from './usr-pci-chubb.ts';
import { UsrPciUsrdrv } from './usr-pci-usrdrv.ts';
import { Vfs } from './vfs.ts';

/** Files that may be open in the whole system; root may have more. */
const FILE_MAX = 8192;
const RLIMIT_NOFILE = 1024;
const RLIMIT_MEMLOCK = 8 * 1024 * 1024;
/** TASK_COMM_LEN, without the terminating zero. */
const COMM_LENGTH = 15;
const FIRST_PID = 100;

/** What a process starts with. */
export interface SpawnOptions {
  /** Command name, at most 15 bytes. Left out: that of the kernel's first process. */
  readonly comm?: string;
  /** Left out: 0, root. */
  readonly uid?: number;
  /** Left out: root has it. */
  readonly capSysRawio?: boolean;
}

/** The kernel of a machine, at its system-call boundary. */
export class EmulatedKernel implements UserModeKernel {
  readonly machine: Machine;
  readonly profile: KernelProfile;
  readonly supports: KernelSupports;
  readonly fileTable = new FileTable(FILE_MAX);
  readonly pciDevs: PciDevs;
  readonly usrPci: UsrPci;
  /** Stub drivers register here; what they register has nodes in /dev. */
  readonly uio: Uio;
  readonly iio: Iio;
  readonly pciDrivers: PciDrivers;
  readonly vfs: Vfs;
  readonly files: FileView;
  readonly process: Process;
  /** Those that live. */
  readonly processes = new Set<Process>();
  readonly clock: Clock;
  #nextPid = FIRST_PID;
  #nextCpu = 0;

  constructor(machine: Machine, profile: KernelProfile, comm: string) {
    this.machine = machine;
    this.profile = profile;
    this.supports = {
      threads: true,
      fork: true,
      signals: true,
      credentials: true,
      msi: profile === 'usrdrv-6.1',
      iommu: machine.iommu.on,
    };
    this.pciDevs = new PciDevs(machine.pci);
    const { irqs: irqCore, oracle, trace, cpus, memory, iommu, msi } = machine;
    const { pciDevs, fileTable } = this;
    const UsrPciCalls = profile === 'usrdrv-6.1' ? UsrPciUsrdrv : UsrPciChubb;
    this.usrPci = new UsrPciCalls({ oracle, trace, memory, iommu, pciDevs, fileTable, irqCore, msi });
    const proc = new ProcFs({ profile, irqCore, oracle, trace, cpus, fileTable, pciDevs });
    this.uio = new Uio({ irqCore, oracle, trace });
    this.iio = new Iio({ irqCore, oracle, trace, bus: machine.pci });
    this.pciDrivers = new PciDrivers(pciDevs);
    // UIO came with 2.6.23. IIO was a patch, and goes with any kernel.
    this.pciDrivers.register(new IioPciStub(this.iio, oracle));
    if (profile === 'usrdrv-6.1') this.pciDrivers.register(new UioPciGeneric(this.uio, oracle));
    const eduDio = new EduPciDriver({ clock: machine.clock, oracle, memory, iommu, irqCore, bus: machine.pci });
    this.pciDrivers.register(eduDio);
    const sysfs = new SysFs(pciDevs, this.pciDrivers, [this.iio, this.uio]);
    this.vfs = new Vfs([proc, new DevFs(memory, [this.iio, this.uio, eduDio]), sysfs], fileTable, profile);
    this.files = this.vfs.view;
    this.clock = new ProcessClock(machine.clock, machine.idle);
    this.process = this.spawn({ comm });
  }

  /** Starts another process, as a shell would. */
  spawn(o: SpawnOptions = {}): Process {
    const { comm = this.process.comm, uid = 0, capSysRawio = uid === 0 } = o;
    return this.add({
      comm: truncate(comm),
      credentials: { uid, capSysRawio, permittedSysRawio: capSysRawio },
      rlimits: { RLIMIT_NOFILE, RLIMIT_MEMLOCK },
      mm: new MmStruct(this.machine.memory, this.machine.pci),
    });
  }

  add(parts: ProcessParts): Process {
    const process = new Process(this, this.newPid(), parts);
    this.processes.add(process);
    return process;
  }

  remove(process: Process): void {
    this.processes.delete(process);
  }

  newPid(): number {
    return this.#nextPid++;
  }

  /** The processor of a new task: one after the other. */
  nextCpu(): Cpu {
    const { cpus } = this.machine;
    return cpus.at(this.#nextCpu++ % cpus.all.length);
  }

  /** Who a signal is for: nobody, if it is no process or thread of this kernel. */
  targetOf(target: unknown): { readonly process: Process; readonly thread: Thread | undefined } | undefined {
    const thread = target instanceof Thread ? target : undefined;
    const process = thread === undefined ? target : thread.process;
    return process instanceof Process && process.kernel === this ? { process, thread } : undefined;
  }

  /**
   * Gives a function to a driver of the kernel, as `bind` in sysfs does once the driver was told of such functions.
   * @param driver `uio_pci_generic`, `iio_pci`, or `edu_dio`, which gives edu a node for direct I/O in the kernel (S4)
   * @throws RangeError no such driver or function
   * @throws SystemError EBUSY somebody else has the function; what the driver says
   */
  bindDriver(driver: string, address: PciAddress | string): void {
    const found = this.pciDrivers.named(driver);
    if (found === undefined) throw new RangeError(`the kernel ${this.profile} has no driver ${driver}`);
    const dev = this.pciDevs.get(`${PciAddress.from(address)}`);
    if (dev === undefined) throw new RangeError(`there is no function at ${address}`);
    checkResult(this.pciDrivers.attach(found, dev), 'bind', `${dev.function.address}`);
  }

  /** A function was pulled out of its slot: who sleeps on its interrupts hears of it (D13). */
  unplugged(gone: PciFunction): void {
    const dev = this.pciDevs.of(gone);
    const { irqs, scheduler } = this.machine;
    for (const irq of new Set([...dev.msiIrqs, dev.irq])) {
      for (const { devId } of irqs.desc(irq)?.actions ?? []) if (devId instanceof UsrdrvIrqFile) devId.remove();
    }
    this.usrPci.unplugged(dev);
    const [task] = this.process.thread.tasks;
    if (dev.driver !== undefined && task !== undefined) {
      // Freeing its line waits for handlers, one of which may be what pulled it out.
      scheduler.later(() => scheduler.runNow(task, this.pciDrivers.detach(dev)));
    }
    scheduler.settle();
  }

  /** Ends every process; what they held is released. */
  [Symbol.dispose](): void {
    for (const process of [...this.processes]) process.exit();
  }
}

/** The command name as the kernel keeps it: its first 15 bytes. */
function truncate(comm: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(comm).subarray(0, COMM_LENGTH));
}
