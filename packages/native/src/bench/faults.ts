import { closeSync, existsSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';

/** Documentation/fault-injection/fault-injection.rst */
const FAIL_NTH = '/proc/thread-self/fail-nth';
const DEBUGFS = '/sys/kernel/debug';
/** Which allocations may fail: the kernel leaves out what can wait for memory, as most do. */
const SETTINGS = {
  'failslab/ignore-gfp-wait': 'N',
  'failslab/verbose': '0',
  'fail_page_alloc/ignore-gfp-wait': 'N',
  'fail_page_alloc/min-order': '0',
  'fail_page_alloc/verbose': '0',
};

/** Why {@link Faults} cannot be had, undefined where it can. */
export function noFaults(): string | undefined {
  const files = Object.keys(SETTINGS).map((file) => `${DEBUGFS}/${file}`);
  if ([FAIL_NTH, ...files].every((file) => existsSync(file))) return undefined;
  return 'the kernel was built without CONFIG_FAILSLAB, or debugfs is not mounted';
}

/** Lets allocations of this thread's system calls fail. */
export class Faults {
  readonly #fd: number;

  constructor() {
    for (const [file, value] of Object.entries(SETTINGS)) writeFileSync(`${DEBUGFS}/${file}`, value);
    this.#fd = openSync(FAIL_NTH, 'r+');
  }

  failAllocation(nth: number): void {
    writeSync(this.#fd, `${nth}`, 0);
  }

  /** The file says 0 where the fault has happened. */
  allocationFailed(): boolean {
    const left = Buffer.alloc(16);
    const length = readSync(this.#fd, left, 0, left.length, 0);
    writeSync(this.#fd, '0', 0);
    return Number(left.toString('utf8', 0, length)) === 0;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
