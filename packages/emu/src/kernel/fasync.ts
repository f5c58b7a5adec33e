import { O_ASYNC } from '@usrdrv/core';
import type { File } from './file.ts';

/** O_ASYNC, as the kernel calls it: the file's owner gets SIGIO. */
export const FASYNC = O_ASYNC;

/** The files whose owners want a signal at each event (struct fasync_struct). */
export class FasyncQueue {
  readonly #files = new Set<File>();

  /** fasync_helper(): a file's FASYNC flag was set or cleared, or the file goes. */
  set(file: File, on: boolean): void {
    if (on) this.#files.add(file);
    else this.#files.delete(file);
  }

  /** kill_fasync(): a signal to the owner of each, once the interrupt is over. Who never named an owner gets none. */
  kill(signum: number): void {
    for (const file of this.#files) file.owner?.signal(signum);
  }
}
