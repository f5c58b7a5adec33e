import { findCapability, PCI_CAP_ID_MSI, PCI_CAP_ID_MSIX } from '../capabilities.ts';
import type { ConfigSpace } from '../config-space.ts';
import { checkResult, type ErrnoCode, SystemError } from '../errors.ts';
import type { IrqSource } from '../irq.ts';
import type { MmioRegion } from '../mmio.ts';
import { type Closeable, closed, closeEach, OpenResources } from '../open-resources.ts';
import type { PciDevice } from '../pci.ts';
import type { PciAddress } from '../pci-address.ts';
import { PAGE_SIZE, type UserModeKernel } from '../user-mode-kernel.ts';
import { BarRegions } from './bar-regions.ts';
import { UserModeConfigSpace } from './config-space.ts';
import { UserModeDmaMapper } from './dma-mapper.ts';
import { checkVector, intxLine } from './intx.ts';
import { openIrqFile } from './irq-file.ts';
import { mapBar } from './mmio-region.ts';
import { sysfsPath } from './sysfs.ts';
import { AnonymousMemory } from './user-memory.ts';

/** As many interrupt numbers as a page holds. */
const MAX_VECTORS = PAGE_SIZE / 4;

/** What a device needs of the backend that opened it. */
export interface DeviceOwner {
  readonly kernel: UserModeKernel;
  readonly devices: OpenResources<Closeable>;
  readonly userMemory: OpenResources<Closeable>;
}

/** A function opened with usr_pci_open (U1): config space through sysfs, interrupts through /proc, registers through /dev/mem. */
export class UserModePciDevice implements PciDevice {
  readonly address: PciAddress;
  readonly config: ConfigSpace & Closeable;
  readonly dma: UserModeDmaMapper;
  readonly #owner: DeviceOwner;
  readonly #kernel: UserModeKernel;
  readonly #fd: number;
  /** What small system calls copy through: config space, interrupt numbers. */
  readonly #scratch: AnonymousMemory;
  readonly #bars: BarRegions;
  readonly #irqs = new OpenResources<IrqSource>();
  /** The interrupt numbers of the allocated MSI vectors. While there are any, INTx is off. */
  #vectors: readonly number[] | undefined;
  #closed = false;

  /** @throws SystemError as {@link PciBus.open}; nothing stays open then */
  constructor(owner: DeviceOwner, address: PciAddress, dmaMask: bigint) {
    const { kernel } = owner;
    const { process } = kernel;
    const { domain, bus, slot, function: fn } = address;
    this.address = address;
    this.#owner = owner;
    this.#kernel = kernel;
    this.#bars = new BarRegions(kernel.files, address, (bar, regions) =>
      mapBar(kernel, sysfsPath(address, `resource${bar.index}`), bar, regions),
    );
    // The 2005 call has no domain, and would open the function of that number in domain 0.
    if (domain !== 0 && kernel.profile === 'chubb-2.6.11') throw this.#error('ENOENT', 'usr_pci_open');
    const fd = process.thread.usrPciOpen(bus, slot, fn, dmaMask, domain);
    this.#fd = checkResult(fd, 'usr_pci_open', `${address}`, {
      EBUSY: `a driver of the kernel has it, or a process has it open: usrdrv bind ${address} --to none`,
      EPERM: 'it takes CAP_SYS_RAWIO: run it as root',
      EIO: `it cannot do with a DMA mask of 0x${dmaMask.toString(16)}`,
    });
    const opened: Closeable[] = [{ close: () => this.#closeFd() }];
    try {
      this.#scratch = new AnonymousMemory(process, PAGE_SIZE);
      opened.push(this.#scratch);
      this.config = new UserModeConfigSpace(process.thread, sysfsPath(address, 'config'), this.#scratch);
      opened.push(this.config);
      this.dma = new UserModeDmaMapper(process, this.#fd, `${address}`, owner.userMemory);
    } catch (error) {
      closeEach(opened);
      throw error;
    }
    owner.devices.add(this);
  }

  bar(index: number): MmioRegion {
    return this.#bars.get(index);
  }

  irq(vector?: number): IrqSource {
    checkVector(vector);
    this.#checkOpen('irq');
    const line = vector === undefined ? this.#intx() : this.#vector(vector);
    return openIrqFile(this.#kernel, line, this.#irqs);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.devices.delete(this);
    // Interrupts before the descriptor, whose release frees their vectors; the descriptor before any memory, because its
    // release turns bus mastering off (U2).
    closeEach([
      { close: () => this.#irqs.closeAll() },
      { close: () => this.#closeFd() },
      this.dma,
      this.#bars,
      this.config,
      this.#scratch,
    ]);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The line of the interrupt pin, as the kernel routed it. */
  #intx(): number {
    if (this.#vectors !== undefined) {
      if (this.#irqs.size > 0) throw this.#error('EBUSY', 'irq', 'the device sends MSI');
      this.#freeVectors();
    }
    return intxLine(this.#kernel.files, this.address, this.config);
  }

  #vector(vector: number): number {
    this.#vectors ??= this.#allocateVectors(vector);
    const line = this.#vectors[vector];
    if (line !== undefined) return line;
    throw this.#error('ENOSPC', 'irq', `vector ${vector} of ${this.#vectors.length}`);
  }

  /** All that the device has, because they can be allocated only once (V7 to V9 say the same of VFIO). */
  #allocateVectors(wanted: number): number[] {
    const { supports, process } = this.#kernel;
    if (!supports.msi) throw this.#error('ENOSYS', 'usr_pci_irq_vectors');
    if (this.#irqs.size > 0) throw this.#error('EBUSY', 'usr_pci_irq_vectors', 'the INTx line is open');
    const most = Math.min(vectorsOf(this.config), MAX_VECTORS);
    if (wanted >= most) throw this.#error('ENOSPC', 'usr_pci_irq_vectors', `vector ${wanted} of ${most}`);
    const result = process.thread.usrPciIrqVectors(this.#fd, wanted + 1, most, this.#scratch.address);
    const count = checkResult(result, 'usr_pci_irq_vectors', `${this.address}`);
    const view = this.#scratch.view();
    return Array.from({ length: count }, (_, vector) => view.getUint32(4 * vector, true));
  }

  #freeVectors(): void {
    const result = this.#kernel.process.thread.usrPciIrqVectors(this.#fd, 0, 0, this.#scratch.address);
    checkResult(result, 'usr_pci_irq_vectors', `${this.address}`);
    this.#vectors = undefined;
  }

  #closeFd(): void {
    checkResult(this.#kernel.process.thread.close(this.#fd), 'close', `${this.address}`);
  }

  #checkOpen(syscall: string): void {
    if (this.#closed) throw closed(syscall, `${this.address}`);
  }

  #error(code: ErrnoCode, syscall: string, detail?: string): SystemError {
    return new SystemError(code, syscall, { path: `${this.address}`, ...(detail !== undefined && { detail }) });
  }
}

/** How many MSI-X (PCI 3.0, 6.8.2.3) or else MSI vectors (6.8.1.3) the device can send: message control says. */
function vectorsOf(config: ConfigSpace): number {
  const msix = findCapability(config, PCI_CAP_ID_MSIX);
  if (msix !== undefined) return (config.read16(msix + 2) & 0x7ff) + 1;
  const msi = findCapability(config, PCI_CAP_ID_MSI);
  return msi === undefined ? 0 : 1 << ((config.read16(msi + 2) >>> 1) & 7);
}
