import { checkResult, O_NONBLOCK, POLLIN, SystemError } from '@usrdrv/core';
import { type Addon, addon } from '../addon.ts';

/** An eventfd that is watched on the side: nobody has to wait for it, and the process may end meanwhile. */
export class EventWatch {
  readonly fd: number;
  readonly #addon: Addon;
  readonly #path: string;
  #call: bigint | undefined;

  /**
   * @param onEvent called once, from the event loop
   * @throws SystemError EMFILE, ENFILE, ENOMEM
   */
  constructor(path: string, onEvent: () => void) {
    this.#addon = addon();
    this.#path = path;
    this.fd = checkResult(this.#addon.eventfd(0, O_NONBLOCK), 'eventfd', path);
    const done = (result: number) => {
      this.#call = undefined;
      if (result > 0) onEvent();
    };
    const call = this.#addon.poll(Int32Array.of(this.fd, POLLIN, 0), -1, done, true);
    if (typeof call === 'bigint') {
      this.#call = call;
      return;
    }
    this.#addon.close(this.fd);
    throw SystemError.fromResult(call, 'poll', path);
  }

  close(): void {
    if (this.#call !== undefined) this.#addon.interrupt(this.#call);
    this.#call = undefined;
    checkResult(this.#addon.close(this.fd), 'close', this.#path);
  }
}
