/**
 * The only source of nondeterminism in the emulated machine: whatever could go one way or another is asked here, and
 * nowhere else is there a clock or a random number. A run is the list of its answers.
 */
export interface Oracle {
  /**
   * Picks one of `n` ways, 0 <= result < n. 0 is always the calm one: keep running, no fault, first come.
   * @param tag what is being chosen, a constant such as `'alloc.fail'`; see {@link ChoiceTag}
   */
  choose(n: number, tag: ChoiceTag): number;
  /** Whether the machine asks at each kernel step too (`step.signal`, `step.interrupt`); costs time, so off unless wanted. */
  readonly asksAtSteps: boolean;
}

/** Everything that the machine leaves open. */
export type ChoiceTag =
  /** 1: this allocation fails (ENOMEM). */
  | 'alloc.fail'
  /** 1: the edge or the assertion is lost on the way to the controller. */
  | 'interrupt.lost'
  /** 1: an interrupt that no device raised, at a kernel step. */
  | 'interrupt.spurious'
  /** Which processor takes the interrupt. */
  | 'interrupt.route'
  /** 1: a signal arrives for the running task, at a kernel step. */
  | 'step.signal'
  /** 1: the device stalls: what it was asked for never completes. */
  | 'device.stall'
  /** 1: this DMA access fails on the bus. */
  | 'dma.error'
  /** 1: a DMA mapping yields no entries: the IOMMU has no room left. */
  | 'dma.map'
  /** 1: the IOMMU gives the pages of a mapping one run of bus addresses, so that its entries merge. */
  | 'dma.merge'
  /** 1: the PCI device cannot be enabled. */
  | 'pci.enable'
  /** 1: the device is pulled out of its slot at this access. */
  | 'device.remove';

/** Always 0. */
export const calm: Oracle = { choose: () => 0, asksAtSteps: false };
