/** What a wait can be given: when to give up, and who may call it off. */
export interface WaitOptions {
  /** Calls the wait off: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * One interrupt line, or one MSI vector.
 *
 * Every backend gives it one meaning, whatever its kernel interface does (section L): `read()` resolves with the number
 * of interrupts since the last read, at least 1; the line is deliverable while a `read()` or `poll()` waits, and stays
 * masked from the moment it fires until the next wait. So a driver acknowledges its device after `read()`, and before
 * it waits again. Where a backend cannot promise a part of that, its {@link Supports} record says so.
 *
 * Iterating reads for ever: `for await (const count of irq)`; it ends when the source is closed.
 */
export interface IrqSource extends Disposable, AsyncIterable<number> {
  /** The kernel's number for the interrupt: the N of /proc/irq/N. */
  readonly line: number;
  /**
   * Waits for an interrupt and takes the count. Two concurrent reads share: each interrupt is counted by exactly one.
   * @returns interrupts since the last read, >= 1
   * @throws SystemError EBADF when closed, also while waiting; ENODEV when the device is removed; the signal's reason
   */
  read(o?: WaitOptions): Promise<number>;
  /**
   * Takes the count without waiting, and unmasks the line where there is none (P5).
   * @returns interrupts since the last read, or undefined where the kernel says EAGAIN
   */
  tryRead(): number | undefined;
  /**
   * Waits until a read would not have to, without taking the count.
   * @param o.timeoutMs milliseconds of the backend's own time (virtual on emu), 0 looks once, absent waits for ever
   * @returns whether there is a count to read
   */
  poll(o?: WaitOptions & { readonly timeoutMs?: number }): Promise<boolean>;
  /** Gives the line back; waiting reads and polls reject with EBADF. Again does nothing. */
  close(): void;
}
