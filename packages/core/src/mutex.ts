/** Lets one operation at a time onto a device; the others wait in the order in which they came. */
export class Mutex {
  #locked = false;
  readonly #waiters: (() => void)[] = [];

  /**
   * Waits for its turn, and takes it.
   * @throws the signal's reason, when it is aborted before; the turn is nobody's then
   */
  async lock(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#locked) await this.#turn(signal);
    this.#locked = true;
  }

  /** Hands the turn on. */
  unlock(): void {
    const next = this.#waiters.shift();
    if (next === undefined) this.#locked = false;
    else next();
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(onTurn), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(onTurn);
    });
  }
}
