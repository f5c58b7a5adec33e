/**
 * The only source of nondeterminism in the emulated machine: whatever could go one way or another is asked here, and
 * nowhere else is there a clock or a random number. A run is the list of its answers.
 */
export interface Oracle {
  /**
   * Picks one of `n` ways, 0 <= result < n. 0 is always the calm one: keep running, no fault, first come.
   * @param tag what is being chosen, a constant such as `'alloc.fail'`; see {@link ChoiceTag}
   * @param step for what is chosen at a kernel step, the step's name: `'R3b'`; for `meanwhile`, what would happen
   */
  choose(n: number, tag: ChoiceTag, step?: string): number;
  /**
   * Whether the machine asks at each kernel step too (`step.signal`, `interrupt.spurious`), and in which order things
   * happen (`access.event`, `event.next`, `result.late`); costs time, so off unless wanted.
   */
  readonly asksAtSteps: boolean;
}

/** Everything that the machine leaves open. */
export const CHOICE_TAGS = [
  /** Explored runs: who takes the next step. 0 whoever took the last one. */
  'schedule',
  /** 1: this allocation fails (ENOMEM). */
  'alloc.fail',
  /** 1: the edge or the assertion is lost on the way to the controller. */
  'interrupt.lost',
  /** 1: an interrupt that no device raised, at a kernel step. */
  'interrupt.spurious',
  /** Which of the lines in use a spurious interrupt is of. */
  'interrupt.line',
  /** Which processor takes the interrupt. */
  'interrupt.route',
  /** 1: a signal arrives for the running task, at a kernel step. */
  'step.signal',
  /** 1: the device stalls: what it was asked for never completes. */
  'device.stall',
  /** How long the device takes: 0 as long as it says, 1 no time at all, 2 ten times as long, 3 a thousand times. */
  'device.delay',
  /** 1: this DMA access fails on the bus. */
  'dma.error',
  /** 1: a DMA mapping yields no entries: the IOMMU has no room left. */
  'dma.map',
  /** 1: the IOMMU gives the pages of a mapping one run of bus addresses, so that its entries merge. */
  'dma.merge',
  /** 1: the PCI device cannot be enabled. */
  'pci.enable',
  /** 1: the device is pulled out of its slot at this access. */
  'device.remove',
  /** At an access to a device: 0 nothing happens, else which of the events that devices have due comes just before it. */
  'access.event',
  /** When everybody waits: which of the events that are due comes next. 0 the earliest; those that are passed over are late. */
  'event.next',
  /** 1: whoever made a system call hears of its result only after the next event. */
  'result.late',
  /** 1: what a scenario lets happen at any moment happens now. */
  'meanwhile',
] as const;

/** What is being chosen; {@link CHOICE_TAGS} says what each means. */
export type ChoiceTag = (typeof CHOICE_TAGS)[number];

/** Always 0. */
export const calm: Oracle = { choose: () => 0, asksAtSteps: false };
