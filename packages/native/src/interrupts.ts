import { EINTR } from '@usrdrv/core';
import type { Addon } from './addon.ts';

/** A call that sleeps. */
interface Sleeper {
  readonly call: bigint;
  readonly returned: (result: number) => void;
}

/** Those that one signal interrupts. */
type Sleepers = Set<Sleeper>;

/**
 * What a caught signal is to calls that sleep, an AbortSignal is to those of JavaScript. The same one comes with call after
 * call, and listening costs more than the call: each is listened to once, for as long as it lives.
 */
export class Interrupts {
  readonly #addon: Addon;
  readonly #bySignal = new WeakMap<AbortSignal, Sleepers>();

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /** Enters a call that has just gone to sleep. A signal that came before it interrupts it at once. */
  add(signal: AbortSignal, sleeper: Sleeper): Sleepers {
    const sleepers = this.#bySignal.get(signal) ?? this.#listen(signal);
    sleepers.add(sleeper);
    if (signal.aborted) this.#interrupt(sleepers);
    return sleepers;
  }

  #listen(signal: AbortSignal): Sleepers {
    const sleepers: Sleepers = new Set();
    this.#bySignal.set(signal, sleepers);
    signal.addEventListener('abort', () => this.#interrupt(sleepers), { once: true });
    return sleepers;
  }

  /** One that the addon cannot call off settles by itself, and leaves then. */
  #interrupt(sleepers: Sleepers): void {
    for (const sleeper of sleepers) {
      if (!this.#addon.interrupt(sleeper.call)) continue;
      sleepers.delete(sleeper);
      sleeper.returned(-EINTR);
    }
  }
}
