import type { PhysicalAddress } from './address.ts';
import type { IrqSource } from './irq.ts';
import type { MmioRegion } from './mmio.ts';
import type { PciBus } from './pci.ts';

/** What a backend promises beyond the least. The conformance suite turns each `false` into a skip with this reason. */
export interface Supports {
  /** Interrupts of a device through MSI or MSI-X vectors. */
  readonly msi: boolean;
  /** The line is masked from the moment it fires until the next wait, by the kernel, before user space runs. */
  readonly masksUntilNextWait: boolean;
  /** The same of MSI and MSI-X vectors: messages collapse until the next wait. Where not, a read counts each. */
  readonly masksVectors: boolean;
  /** A device can share its INTx line with others. */
  readonly sharedInterrupts: boolean;
  /** Bus addresses for user memory: DMA. */
  readonly dma: boolean;
  /** `allocConsistent` gives more than one page. */
  readonly consistentLargerThanPage: boolean;
  /** The device reaches mapped memory only: there is an IOMMU in between. */
  readonly iommu: boolean;
  /** `mapPhysical`: registers by physical address. */
  readonly mapPhysical: boolean;
  /** Why a promise is not made, where there is more to say than that it is not. */
  readonly reasons?: Readonly<Partial<Record<'msi' | 'dma' | 'masksUntilNextWait', string>>>;
}

/** The time that a driver lives in: real on hardware, virtual on an emulated machine. */
export interface Clock {
  /** Nanoseconds since some fixed moment; never goes back. */
  now(): bigint;
  /**
   * Resolves after that many milliseconds.
   * @throws RangeError a time that is negative, NaN or infinite
   */
  sleep(ms: number, o?: { readonly signal?: AbortSignal }): Promise<void>;
}

/**
 * A machine to drive devices on: the one thing that an application chooses. Everything opened through it is closed by
 * closing it.
 */
export interface Backend extends Disposable {
  readonly name: string;
  readonly supports: Supports;
  readonly pci: PciBus;
  readonly clock: Clock;
  /**
   * Opens an interrupt line by the kernel's number.
   * @throws RangeError a line that is no integer >= 0
   * @throws SystemError ENOENT no such line; EBUSY held by a driver or another process (P6); EACCES; ENOMEM; EMFILE
   */
  openIrq(line: number): IrqSource;
  /**
   * Maps physical memory, as registers (S3). Any address and length; the pages around them are what is really mapped.
   * @throws RangeError a length that is no positive integer, an address outside 64 bits
   * @throws SystemError EACCES, EPERM; EINVAL where the kernel refuses the range
   */
  mapPhysical(address: PhysicalAddress | bigint, length: number): MmioRegion;
  close(): void;
}
