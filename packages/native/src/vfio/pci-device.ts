import {
  type IrqSource,
  type MmioRegion,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  type PciAddress,
  type PciDevice,
  SystemError,
} from '@usrdrv/core';
import { type BackendResources, BarRegions, type Closeable, closeEach } from '@usrdrv/core/backend-parts';
import { mapBarRegion } from './bar-region.ts';
import { VfioConfigSpace } from './config-space.ts';
import type { DeviceFile } from './device-file.ts';
import { VfioDmaMapper } from './dma-mapper.ts';
import { EventWatch } from './event-watch.ts';
import { VfioInterrupts } from './interrupts.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from './uapi.ts';
import type { VfioFunction } from './vfio-function.ts';
import type { OpenGroups, VfioGroup } from './vfio-group.ts';

/** What a mask of 0 stands for. */
const DEFAULT_MASK = 0xffff_ffffn;

/** An opened function, with what VFIO has beyond {@link PciDevice}. */
export interface VfioDevice extends PciDevice {
  /**
   * Aborted when the kernel wants the device back: it is pulled out, or somebody unbinds it. By then it has been given
   * back: waits end with ENODEV, nothing of it is mapped, and every call but `close()` is ENODEV.
   */
  readonly removed: AbortSignal;
  /**
   * Aborted when the device reports an error that it cannot correct (PCI Express AER). What is open stays open; `reset()`
   * may bring the device back, and there is a new signal after it.
   */
  readonly failed: AbortSignal;
  /**
   * Resets the function. Registers, interrupts and DMA start over: what is open stays open, its interrupts are armed again
   * (V10), and it is a bus master. What is mapped for DMA stays mapped.
   * @throws SystemError ENOTTY a function that cannot be reset by itself; EBADF; ENODEV
   */
  reset(): void;
  /**
   * Has the kernel signal an open interrupt as if the device had sent it (V9), INTx where nothing is named: for tests, and
   * latency without hardware. `error` is what aborts {@link failed}, `request` what aborts {@link removed}.
   * @throws RangeError no vector, and none of these words
   * @throws SystemError ENOENT it is not open, or the device has no such interrupt; EBADF; ENODEV
   */
  trigger(what?: number | 'error' | 'request'): void;
}

/** A function that vfio-pci has, opened through its group. */
export class VfioPciDevice implements VfioDevice {
  readonly address: PciAddress;
  readonly config: VfioConfigSpace;
  readonly dma: VfioDmaMapper;
  readonly #owner: BackendResources;
  readonly #device: DeviceFile;
  readonly #bars: BarRegions;
  readonly #interrupts: VfioInterrupts;
  readonly #removed = new AbortController();
  #failed = new AbortController();
  #watches: EventWatch[] = [];
  /** Gives the group back, once. */
  readonly #leave: () => void;
  #closed = false;

  /** @throws SystemError as {@link PciBus.open}; nothing stays open then */
  constructor(owner: BackendResources, groups: OpenGroups, fn: VfioFunction, dmaMask: bigint) {
    const { kernel } = owner;
    const { address } = fn;
    this.address = address;
    this.#owner = owner;
    const group = groups.acquire(fn);
    let left = false;
    this.#leave = () => {
      if (!left) groups.release(fn);
      left = true;
    };
    const opened: Closeable[] = [{ close: this.#leave }];
    try {
      const highest = highestAddress(group, dmaMask, `${address}`);
      this.#device = group.openDevice(fn);
      opened.unshift(this.#device);
      if ((this.#device.flags() & VFIO_DEVICE_FLAGS_PCI) === 0) {
        throw new SystemError('ENODEV', 'VFIO_DEVICE_GET_INFO', { path: `${address}`, detail: 'no PCI device' });
      }
      this.config = new VfioConfigSpace(this.#device);
      this.#enable();
      this.#watch();
      this.dma = new VfioDmaMapper(kernel.process, group, highest, `${address}`, owner.userMemory);
    } catch (error) {
      closeEach([...this.#watches, ...opened]);
      throw error;
    }
    this.#interrupts = new VfioInterrupts(kernel, address, this.#device, this.config);
    this.#bars = new BarRegions(kernel.files, address, (bar, regions) =>
      mapBarRegion(kernel.process, this.#device, bar, regions),
    );
    owner.devices.add(this);
  }

  get removed(): AbortSignal {
    return this.#removed.signal;
  }

  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  bar(index: number): MmioRegion {
    // sysfs, which is asked next, has nothing of a device that has gone.
    if (this.#device.removed) this.#device.fd('bar');
    return this.#bars.get(index);
  }

  irq(vector?: number): IrqSource {
    return this.#interrupts.open(vector);
  }

  reset(): void {
    this.#device.fd('VFIO_DEVICE_RESET');
    this.#interrupts.disarm();
    try {
      this.#device.reset();
      this.#enable();
      if (this.#failed.signal.aborted) this.#failed = new AbortController();
    } finally {
      this.#interrupts.rearm();
    }
  }

  trigger(what?: number | 'error' | 'request'): void {
    this.#device.fd('VFIO_DEVICE_SET_IRQS');
    if (what !== 'error' && what !== 'request') {
      this.#interrupts.trigger(what);
      return;
    }
    const index = what === 'error' ? VFIO_PCI_ERR_IRQ_INDEX : VFIO_PCI_REQ_IRQ_INDEX;
    if (this.#device.irqs(index) === 0) {
      throw new SystemError('ENOENT', 'VFIO_DEVICE_SET_IRQS', { path: `${this.address}`, detail: 'no PCI Express' });
    }
    this.#device.trigger(index, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.devices.delete(this);
    // The device's file last, after all that is mapped: as soon as it is released the kernel may take the device away, and
    // its group out of the container.
    closeEach([
      this.#interrupts,
      { close: () => this.#stopWatching() },
      this.#bars,
      { close: () => this.#stopMastering() },
      this.dma,
      this.#device,
      { close: this.#leave },
    ]);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #enable(): void {
    this.config.write16(PCI_COMMAND, this.config.read16(PCI_COMMAND) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  /** Has the kernel say when it wants the device back, and when the device reports an error (V7). */
  #watch(): void {
    this.#watchFor(VFIO_PCI_REQ_IRQ_INDEX, () => this.#giveBack());
    this.#watchFor(VFIO_PCI_ERR_IRQ_INDEX, () => {
      this.#failed.abort(new SystemError('EIO', 'read', { path: `${this.address}`, detail: 'it reported an error' }));
    });
  }

  #watchFor(index: number, onEvent: () => void): void {
    // Only PCI Express has errors to report.
    if (this.#device.irqs(index) === 0) return;
    const watch = new EventWatch(`${this.address}`, onEvent);
    this.#watches.push(watch);
    const arm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    this.#device.setIrqs(arm, index, 0, 1, Int32Array.of(watch.fd));
  }

  #stopWatching(): void {
    closeEach(this.#watches.splice(0));
  }

  /** No DMA from here on. */
  #stopMastering(): void {
    if (this.#device.removed) return;
    try {
      this.config.write16(PCI_COMMAND, this.config.read16(PCI_COMMAND) & ~PCI_COMMAND_MASTER);
    } catch (error) {
      // One that has been pulled out already, and reaches nothing.
      if (!(error instanceof SystemError)) throw error;
    }
  }

  /** The kernel waits until nobody has anything of the device. */
  #giveBack(): void {
    if (this.#closed || this.#device.removed) return;
    const error = new SystemError('ENODEV', 'read', { path: `${this.address}`, detail: 'the device was removed' });
    try {
      closeEach([
        { close: () => this.#interrupts.remove() },
        { close: () => this.#stopWatching() },
        { close: () => this.#bars.remove() },
        { close: () => this.#stopMastering() },
        { close: () => this.dma.remove() },
        { close: () => this.#device.remove() },
        { close: this.#leave },
      ]);
    } catch (cause) {
      // Nobody called this: who looks at the signal's reason finds it.
      error.cause = cause;
    }
    this.#removed.abort(error);
  }
}

/**
 * The highest address that a device reaches.
 * @throws SystemError EIO where no bus address is that low
 */
function highestAddress({ iovas }: VfioGroup, dmaMask: bigint, path: string): bigint {
  const highest = dmaMask === 0n ? DEFAULT_MASK : dmaMask;
  if (iovas === undefined || iovas.reaches(highest)) return highest;
  const detail = `the IOMMU gives no bus addresses up to 0x${highest.toString(16)}`;
  throw new SystemError('EIO', 'open', { path, detail });
}
