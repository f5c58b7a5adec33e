import type { PhysicalAddress } from '../address.ts';
import type { Backend, Clock, Supports } from '../backend.ts';
import type { IrqSource } from '../irq.ts';
import type { MmioRegion } from '../mmio.ts';
import { type Closeable, closed, closeEach, OpenResources } from '../open-resources.ts';
import type { PciBus, PciDevice, PciFunction } from '../pci.ts';
import { PciAddress } from '../pci-address.ts';
import type { UserModeKernel } from '../user-mode-kernel.ts';
import { openIrqFile } from './irq-file.ts';
import { mapPhysical } from './mmio-region.ts';
import { UserModePciDevice } from './pci-device.ts';
import { scanSysfs } from './sysfs.ts';

/**
 * A backend over the system calls of the user-mode driver interface: functions by `usr_pci_open` (U1), registers through
 * /dev/mem (S3) or sysfs' resourceN, interrupts through /proc/irq/N/irq (S1), DMA through the three usr_pci calls (U3 to U5).
 *
 * - A device's first `irq(vector)` allocates all of its MSI-X or else MSI vectors; the calls after it pick one of them. INTx
 *   is off meanwhile: `irq()` is EBUSY until the last vector has been closed, and `irq(vector)` while INTx is open.
 * - User memory belongs to the process: closing the device unmaps it and leaves it readable. It goes with `free()`, or
 *   with the backend. Consistent memory goes with the device.
 * - Closing the backend closes what was opened through it, not the kernel.
 */
export function userModeBackend(kernel: UserModeKernel): Backend {
  return new KernelBackend(kernel, {
    name: kernel.profile,
    supports: {
      msi: kernel.supports.msi,
      masksUntilNextWait: true,
      masksVectors: true,
      // Masking at the interrupt controller keeps everybody else on the line from being served.
      sharedInterrupts: false,
      dma: true,
      consistentLargerThanPage: false,
      iommu: kernel.supports.iommu,
      mapPhysical: true,
    },
    open: (owner, address, dmaMask) => new UserModePciDevice(owner, address, dmaMask),
    openIrq: ({ irqs }, line) => openIrqFile(kernel, line, irqs),
  });
}

/** How a backend over a kernel's files opens what differs: functions and interrupts. */
export interface KernelInterfaceOf<D extends PciDevice = PciDevice> {
  readonly name: string;
  readonly supports: Supports;
  /** As {@link PciBus.open}, with arguments that have been checked. */
  open(owner: BackendResources, address: PciAddress, dmaMask: bigint): D;
  /** As {@link Backend.openIrq}. */
  openIrq(owner: BackendResources, line: number): IrqSource;
}

/** What a backend has open. */
export interface BackendResources {
  readonly kernel: UserModeKernel;
  readonly devices: OpenResources<Closeable>;
  readonly irqs: OpenResources<IrqSource>;
  readonly regions: OpenResources<MmioRegion>;
  readonly userMemory: OpenResources<Closeable>;
}

/** A backend over the files of a kernel: /sys for finding, /dev/mem for physical memory; the rest is the interface's. */
export class KernelBackend<D extends PciDevice = PciDevice> implements Backend {
  readonly name: string;
  readonly supports: Supports;
  readonly pci: PciBus<D>;
  readonly clock: Clock;
  readonly #resources: BackendResources;
  readonly #interface: KernelInterfaceOf<D>;
  #closed = false;

  constructor(kernel: UserModeKernel, through: KernelInterfaceOf<D>) {
    this.name = through.name;
    this.supports = through.supports;
    this.clock = kernel.clock;
    this.#interface = through;
    this.#resources = {
      kernel,
      devices: new OpenResources(),
      irqs: new OpenResources(),
      regions: new OpenResources(),
      userMemory: new OpenResources(),
    };
    this.pci = { scan: () => this.#scan(), open: (address, o) => this.#open(address, o.dmaMask) };
  }

  openIrq(line: number): IrqSource {
    this.#checkOpen('open');
    return this.#interface.openIrq(this.#resources, line);
  }

  mapPhysical(address: PhysicalAddress | bigint, length: number): MmioRegion {
    this.#checkOpen('mmap');
    return mapPhysical(this.#resources.kernel.process, address, length, this.#resources.regions);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Devices first: they unmap the user memory.
    const { devices, irqs, regions, userMemory } = this.#resources;
    closeEach([devices, irqs, regions, userMemory].map((resources) => ({ close: () => resources.closeAll() })));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #scan(): PciFunction[] {
    this.#checkOpen('scandir');
    return scanSysfs(this.#resources.kernel.files);
  }

  #open(where: PciAddress | string, dmaMask: bigint): D {
    const address = PciAddress.from(where);
    if (typeof dmaMask !== 'bigint' || BigInt.asUintN(64, dmaMask) !== dmaMask) {
      throw new RangeError(`a DMA mask is a bigint of at most 64 bits, not ${String(dmaMask)}`);
    }
    this.#checkOpen('open');
    return this.#interface.open(this.#resources, address, dmaMask);
  }

  #checkOpen(syscall: string): void {
    if (this.#closed) throw closed(syscall);
  }
}
