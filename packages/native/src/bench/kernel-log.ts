import { closeSync, constants, openSync, readSync } from 'node:fs';

/** KERN_WARNING; a lower number is worse. */
const WARNING = 4;
const RECORD_SIZE = 8192;

/** What the kernel complains about from here on: /dev/kmsg (Documentation/ABI/testing/dev-kmsg). */
export class KernelLog {
  readonly #fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  readonly #warnings: string[] = [];

  constructor() {
    // What was said before is somebody else's.
    for (const _ of this.#records());
  }

  warnings(): readonly string[] {
    for (const record of this.#records()) {
      // `6,339,5140900,-;the message`, and continuation lines
      const [, priority, text] = /^(\d+),[^;]*;(.*)/.exec(record) ?? [];
      if (text !== undefined && (Number(priority) & 7) <= WARNING) this.#warnings.push(text);
    }
    return this.#warnings;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** A read returns one record. */
  *#records(): Generator<string> {
    const buffer = Buffer.alloc(RECORD_SIZE);
    for (;;) {
      let length: number;
      try {
        length = readSync(this.#fd, buffer);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') return;
        // Overwritten before it was read: the next read goes on after the gap.
        if (code === 'EPIPE') continue;
        throw error;
      }
      yield buffer.toString('utf8', 0, length);
    }
  }
}
