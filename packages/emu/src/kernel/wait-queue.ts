/** One waiter on a queue: a sleeping task, a poll, or an epoll item. */
export interface WaitQueueEntry {
  /** Called at each wake-up. `key` is the poll mask that became true. */
  wake(key: number): void;
}

/** A kernel wait queue (wait_queue_head_t): who is to be woken when a condition may have become true. */
export class WaitQueueHead {
  readonly #entries: WaitQueueEntry[] = [];

  add(entry: WaitQueueEntry): void {
    this.#entries.push(entry);
  }

  remove(entry: WaitQueueEntry): void {
    const entries = this.#entries;
    const at = entries.indexOf(entry);
    if (at < 0) return;
    // splice() would make an array of what it takes out.
    for (let next = at + 1; next < entries.length; next++) entries[next - 1] = entries[next] ?? entry;
    entries.pop();
  }

  /** Wakes all, first come first. An entry may remove itself, or add others, while it is called. */
  wakeUp(key: number): void {
    if (this.#entries.length > 1) this.#wakeAll(key);
    else this.#entries[0]?.wake(key);
  }

  #wakeAll(key: number): void {
    for (const entry of [...this.#entries]) entry.wake(key);
  }

  get length(): number {
    return this.#entries.length;
  }
}
