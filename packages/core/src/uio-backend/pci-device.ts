import { type ConfigSpace, PCI_COMMAND, PCI_COMMAND_MASTER } from '../config-space.ts';
import { checkResult, EINVAL, type ErrnoCode, SystemError } from '../errors.ts';
import type { IrqSource } from '../irq.ts';
import type { MmioRegion } from '../mmio.ts';
import { type Closeable, closed, closeEach, OpenResources } from '../open-resources.ts';
import type { PciDevice } from '../pci.ts';
import type { PciAddress } from '../pci-address.ts';
import { BarRegions, type MapBar } from '../user-mode-backend/bar-regions.ts';
import { UserModeConfigSpace } from '../user-mode-backend/config-space.ts';
import { checkVector, intxLine } from '../user-mode-backend/intx.ts';
import { FileIrqSource } from '../user-mode-backend/irq-source.ts';
import { type MappedRegion, mapFile, mapPath } from '../user-mode-backend/mmio-region.ts';
import { sysfsPath } from '../user-mode-backend/sysfs.ts';
import { AnonymousMemory, immediate } from '../user-mode-backend/user-memory.ts';
import type { BackendResources } from '../user-mode-backend/user-mode-backend.ts';
import { PAGE_SIZE, type UserModeKernel } from '../user-mode-kernel.ts';
import { NoDma } from './no-dma.ts';
import { openNode, UioIrqFile } from './uio-irq-file.ts';
import { findUioNode, type UioNode } from './uio-node.ts';

/** For {@link Supports.reasons}. */
export const NO_MSI = 'UIO has no MSI';
/** A file that took the name while there was no node stays when one is made. */
const NO_NODE = 'this is no UIO node: remove the file, and bind the function again';
/** A length that no node takes (N1, S5). */
const NO_EVENT = 3;

/**
 * A function that a UIO driver made a node of: interrupts and BARs through the node, configuration space and the BARs that
 * the node does not map through sysfs.
 *
 * The node stays open as long as the device, and everything else dups it: whenever a file of it is released,
 * uio_pci_generic takes bus mastering away (N8).
 */
export class UioPciDevice implements PciDevice {
  readonly address: PciAddress;
  readonly config: ConfigSpace & Closeable;
  readonly dma: NoDma;
  readonly #owner: BackendResources;
  readonly #kernel: UserModeKernel;
  readonly #node: UioNode;
  readonly #fd: number;
  readonly #scratch: AnonymousMemory;
  readonly #bars: BarRegions;
  readonly #irqs = new OpenResources<IrqSource>();
  #closed = false;

  /** @throws SystemError as {@link PciBus.open}; nothing stays open then */
  constructor(owner: BackendResources, address: PciAddress) {
    const { kernel } = owner;
    const { thread } = kernel.process;
    this.address = address;
    this.#owner = owner;
    this.#kernel = kernel;
    this.#node = findUioNode(kernel.files, address);
    this.#fd = openNode(thread, this.#node);
    const opened: Closeable[] = [{ close: () => this.#closeFd() }];
    try {
      this.#scratch = new AnonymousMemory(kernel.process, PAGE_SIZE);
      opened.push(this.#scratch);
      this.#checkNode();
      this.config = new UserModeConfigSpace(thread, sysfsPath(address, 'config'), this.#scratch);
      opened.push(this.config);
      this.config.write16(PCI_COMMAND, this.config.read16(PCI_COMMAND) | PCI_COMMAND_MASTER);
    } catch (error) {
      closeEach(opened);
      throw error;
    }
    this.dma = new NoDma(`${address}`);
    this.#bars = new BarRegions(kernel.files, address, this.#mapBar);
    owner.devices.add(this);
  }

  bar(index: number): MmioRegion {
    return this.#bars.get(index);
  }

  irq(vector?: number): IrqSource {
    checkVector(vector);
    if (this.#closed) throw closed('irq', `${this.address}`);
    if (vector !== undefined) throw this.#error('ENOSYS', NO_MSI);
    if (this.#irqs.size > 0) throw this.#error('EBUSY', 'opened already');
    const line = intxLine(this.#kernel.files, this.address, this.config);
    const fd = checkResult(this.#kernel.process.thread.dup(this.#fd), 'dup', this.#node.events);
    const file = new UioIrqFile(this.#kernel, this.#node, fd, this.config);
    return new FileIrqSource(line, file, this.#kernel.clock, this.#irqs);
  }

  /** Closes the interrupt first; the node before what it may still be mapped through, because that stops bus mastering. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.devices.delete(this);
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

  readonly #mapBar: MapBar = ({ index, address, size }, owner) => {
    const { process } = this.#kernel;
    const inPage = Number(address % BigInt(PAGE_SIZE));
    const page = Number(address) - inPage;
    const map = this.#node.maps.find((each) => each.addr === page && each.size >= inPage + size);
    if (map === undefined) return this.#mapResource(index, inPage, size, owner);
    const path = this.#node.memory;
    const range = { path, offset: BigInt(map.index * PAGE_SIZE), inPage, length: size };
    if (path === this.#node.events) return mapFile(process, { fd: this.#fd, ...range }, owner);
    return mapPath(process, path, range, owner);
  };

  /** sysfs has the BARs that a driver made no maps of: wide ones, prefetchable ones, the sixth. */
  #mapResource(index: number, inPage: number, length: number, owner: OpenResources<MmioRegion>): MappedRegion {
    const path = sysfsPath(this.address, `resource${index}`);
    return mapPath(this.#kernel.process, path, { offset: 0n, inPage, length }, owner);
  }

  /** Whatever has the node's name may be something else: a file that a shell made when no node was there. */
  #checkNode(): void {
    const { thread } = this.#kernel.process;
    const result = immediate(thread.read(this.#fd, this.#scratch.address, NO_EVENT), 'read');
    if (result === -EINVAL) return;
    throw new SystemError('ENODEV', 'open', { path: this.#node.events, detail: NO_NODE });
  }

  #closeFd(): void {
    checkResult(this.#kernel.process.thread.close(this.#fd), 'close', this.#node.events);
  }

  #error(code: ErrnoCode, detail: string): SystemError {
    return new SystemError(code, 'irq', { path: `${this.address}`, detail });
  }
}
