import { EINTR, type Interruptible, type MaySleep } from '@usrdrv/core';
import type { Addon } from './addon.ts';

/** Hands the caller what a call left in memory, before anybody hears of its result. */
type Store = (result: number) => number;

/**
 * The calls of a thread that sleep. Most drivers have one asleep, time and again: so what a call needs is used again by the
 * next, and an interrupt finds little to do.
 */
export class Sleepers {
  readonly addon: Addon;
  /** What a caught signal is to calls that sleep, an AbortSignal is to those of JavaScript. */
  readonly #bySignal = new WeakMap<AbortSignal, Set<Sleeper>>();
  #idle: Sleeper | undefined;

  constructor(addon: Addon) {
    this.addon = addon;
  }

  /** For the next call, which may or may not sleep. */
  next(): Sleeper {
    this.#idle ??= new Sleeper(this);
    return this.#idle;
  }

  /** Its call sleeps: it is nobody else's. */
  took(sleeper: Sleeper): void {
    if (this.#idle === sleeper) this.#idle = undefined;
  }

  /** Its call is back. */
  gaveBack(sleeper: Sleeper): void {
    if (this.#idle === undefined) this.#idle = sleeper;
    else sleeper.listen(undefined);
  }

  /** Those that the signal interrupts. Listening costs more than a call, so it is done once, for as long as the signal lives. */
  of(signal: AbortSignal): Set<Sleeper> {
    const known = this.#bySignal.get(signal);
    if (known !== undefined) return known;
    const sleepers = new Set<Sleeper>();
    this.#bySignal.set(signal, sleepers);
    const onAbort = () => {
      for (const sleeper of [...sleepers]) sleeper.interrupt();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    return sleepers;
  }
}

/** A call that sleeps, and after it the next. */
class Sleeper {
  /** What the addon passes the result to. */
  readonly done = (result: number): void => this.#returned(result);
  readonly #sleepers: Sleepers;
  /** Undefined while it does not sleep. */
  #call: bigint | undefined;
  #signal: AbortSignal | undefined;
  #onReturn: ((result: number) => MaySleep) | undefined;
  #store: Store | undefined;
  #resolve: (result: MaySleep) => void = nobody;
  #reject: (error: unknown) => void = nobody;

  constructor(sleepers: Sleepers) {
    this.#sleepers = sleepers;
  }

  /**
   * What a call returns that was given `done`.
   * @param call its result, or what names it while it sleeps
   */
  returns(call: number | bigint, o: Interruptible | undefined, store?: Store): MaySleep {
    if (typeof call === 'number') return store === undefined ? call : store(call);
    this.#sleepers.took(this);
    this.#call = call;
    this.#onReturn = typeof o?.onReturn === 'function' ? o.onReturn : undefined;
    this.#store = store;
    const promise = new Promise<number>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const signal = o?.signal;
    if (signal !== this.#signal) this.listen(signal);
    // One that came before the call interrupts it at once.
    if (signal?.aborted) this.interrupt();
    return promise;
  }

  listen(signal: AbortSignal | undefined): void {
    if (this.#signal !== undefined) this.#sleepers.of(this.#signal).delete(this);
    this.#signal = signal;
    if (signal !== undefined) this.#sleepers.of(signal).add(this);
  }

  /** One that the addon cannot call off returns by itself. */
  interrupt(): void {
    if (this.#call !== undefined && this.#sleepers.addon.interrupt(this.#call)) this.#returned(-EINTR);
  }

  #returned(result: number): void {
    // The next call may begin in onReturn, and it is this object's.
    const onReturn = this.#onReturn;
    const store = this.#store;
    const resolve = this.#resolve;
    const reject = this.#reject;
    this.#call = undefined;
    this.#sleepers.gaveBack(this);
    try {
      const stored = store === undefined ? result : store(result);
      resolve(onReturn === undefined ? stored : onReturn(stored));
    } catch (error) {
      reject(error);
    }
  }
}

function nobody(): void {}
