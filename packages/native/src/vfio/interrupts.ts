import type { IrqSource, PciAddress, UserModeKernel } from '@usrdrv/core';
import { type ConfigSpace, SystemError } from '@usrdrv/core';
import { checkVector, FileIrqSource, intxLine, OpenResources } from '@usrdrv/core/backend-parts';
import type { DeviceFile } from './device-file.ts';
import { VfioIrqFile } from './irq-file.ts';
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from './uapi.ts';

const NONE = -1;
const ARM = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;

/** The interrupts of a device: its INTx line, or its MSI-X or else MSI vectors, never both (V7 to V9). */
export class VfioInterrupts {
  readonly #kernel: UserModeKernel;
  readonly #address: PciAddress;
  readonly #device: DeviceFile;
  readonly #config: ConfigSpace;
  readonly #sources = new OpenResources<IrqSource>();
  #intx: VfioIrqFile | undefined;
  /** By vector. */
  readonly #vectors = new Map<number, VfioIrqFile>();
  /** Vectors that the kernel has allocated: all that the device has, at the first that is opened (NORESIZE). */
  #allocated = 0;

  constructor(kernel: UserModeKernel, address: PciAddress, device: DeviceFile, config: ConfigSpace) {
    this.#kernel = kernel;
    this.#address = address;
    this.#device = device;
    this.#config = config;
  }

  /** As {@link PciDevice.irq}. */
  open(vector?: number): IrqSource {
    checkVector(vector);
    this.#device.fd('irq');
    return vector === undefined ? this.#openIntx() : this.#openVector(vector);
  }

  /**
   * Has the kernel signal an open interrupt as if the device had sent it (V9).
   * @throws SystemError ENOENT it is not open
   */
  trigger(vector?: number): void {
    checkVector(vector);
    const open = vector === undefined ? this.#intx : this.#vectors.get(vector);
    if (open === undefined) throw this.#error('ENOENT', 'open the interrupt first');
    const index = vector === undefined ? VFIO_PCI_INTX_IRQ_INDEX : this.#msiIndex();
    this.#device.trigger(index, vector ?? 0);
  }

  /** Takes the triggers off, for a reset. */
  disarm(): void {
    if (this.#intx !== undefined) this.#device.disable(VFIO_PCI_INTX_IRQ_INDEX);
    if (this.#vectors.size > 0) this.#device.disable(this.#msiIndex());
    this.#allocated = 0;
  }

  /** Puts them on again (V10). */
  rearm(): void {
    if (this.#intx !== undefined) this.#armIntx(this.#intx);
    for (const [vector, file] of this.#vectors) this.#armVector(vector, file);
  }

  /** The device is given back: who waits hears ENODEV. */
  remove(): void {
    for (const file of [this.#intx, ...this.#vectors.values()]) file?.remove();
  }

  close(): void {
    this.#sources.closeAll();
  }

  #openIntx(): IrqSource {
    if (this.#intx !== undefined) throw this.#error('EBUSY', 'opened already');
    if (this.#vectors.size > 0) throw this.#error('EBUSY', 'the device sends MSI');
    const line = intxLine(this.#kernel.files, this.#address, this.#config);
    if (this.#device.irqs(VFIO_PCI_INTX_IRQ_INDEX) === 0) throw this.#error('ENODEV', 'no interrupt pin');
    const file = new VfioIrqFile(this.#kernel.process, `${this.#address} INTx`);
    return this.#source(file, () => {
      this.#armIntx(file);
      return line;
    });
  }

  #armIntx(file: VfioIrqFile): void {
    this.#device.setIrqs(ARM, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, Int32Array.of(file.fd));
    this.#intx = file;
    file.armed({
      unmask: () => {
        const unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
        this.#device.setIrqs(unmask, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
      },
      disarm: () => {
        this.#intx = undefined;
        this.#device.disable(VFIO_PCI_INTX_IRQ_INDEX);
      },
    });
  }

  #openVector(vector: number): IrqSource {
    if (this.#intx !== undefined) throw this.#error('EBUSY', 'the INTx line is open');
    if (this.#vectors.has(vector)) throw this.#error('EBUSY', `vector ${vector} is open already`);
    const has = this.#device.irqs(this.#msiIndex());
    if (vector >= has) throw this.#error('ENOSPC', `vector ${vector}: the device has ${has}`);
    const file = new VfioIrqFile(this.#kernel.process, `${this.#address} vector ${vector}`);
    return this.#source(file, () => {
      this.#armVector(vector, file);
      return this.#lineOf(vector);
    });
  }

  #armVector(vector: number, file: VfioIrqFile): void {
    const index = this.#msiIndex();
    if (this.#allocated === 0) this.#allocate(index, vector, file.fd);
    else if (vector < this.#allocated) this.#device.setIrqs(ARM, index, vector, 1, Int32Array.of(file.fd));
    else throw this.#error('ENOSPC', `vector ${vector}: the kernel has allocated ${this.#allocated}`);
    this.#vectors.set(vector, file);
    file.armed({
      disarm: () => {
        this.#vectors.delete(vector);
        if (this.#vectors.size > 0) {
          this.#device.setIrqs(ARM, index, vector, 1, Int32Array.of(NONE));
          return;
        }
        this.#allocated = 0;
        this.#device.disable(index);
      },
    });
  }

  /** All of them at once; as many as the kernel has room for. */
  #allocate(index: number, vector: number, fd: number): void {
    for (let count = this.#device.irqs(index); count > vector; ) {
      const fds = new Int32Array(count).fill(NONE);
      fds[vector] = fd;
      const room = this.#device.setIrqs(ARM, index, 0, count, fds);
      if (room === 0) {
        this.#allocated = count;
        return;
      }
      count = Math.min(room, count - 1);
    }
    throw this.#error('ENOSPC', `vector ${vector}: the kernel has no room for so many`);
  }

  #msiIndex(): number {
    return this.#device.irqs(VFIO_PCI_MSIX_IRQ_INDEX) > 0 ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
  }

  /** The kernel's number for a vector: only /proc/interrupts says which vector has which. */
  #lineOf(vector: number): number {
    const path = '/proc/interrupts';
    const text = new TextDecoder().decode(this.#kernel.files.readFileSync(path));
    const name = new RegExp(`^ *(\\d+):.* vfio-msix?\\[${vector}\\]\\(${this.#address}\\)$`, 'm');
    const line = name.exec(text)?.[1];
    if (line === undefined) throw new SystemError('EIO', 'irq', { path, detail: `vector ${vector} is not listed` });
    return Number(line);
  }

  /** The source of a file, once `arm` has armed it, which says what number the kernel has for it. */
  #source(file: VfioIrqFile, arm: () => number): IrqSource {
    try {
      return new FileIrqSource(arm(), file, this.#kernel.clock, this.#sources);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #error(code: 'EBUSY' | 'ENODEV' | 'ENOENT' | 'ENOSPC', detail: string): SystemError {
    return new SystemError(code, 'irq', { path: `${this.#address}`, detail });
  }
}
