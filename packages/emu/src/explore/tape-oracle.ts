import { RecordingOracle } from './recording-oracle.ts';
import type { Tape } from './token.ts';

/**
 * Chooses as a tape says: what a token has recorded, or what a property test made up.
 *
 * @example
 * ```ts
 * import { EduDevice, emulated, parseToken, TapeOracle } from '@usrdrv/emu';
 * const { kernel, tape } = parseToken('emu1:usrdrv-6.1:open:1');
 * const oracle = new TapeOracle(tape);
 * using backend = emulated({ kernel, devices: [new EduDevice()], oracle });
 * try {
 *   backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
 * } catch {
 *   console.log(oracle.describe().join()); // alloc.fail: the 1st time
 * }
 * ```
 */
export class TapeOracle extends RecordingOracle {
  readonly #tape: Tape;

  constructor(tape: Tape) {
    super();
    this.#tape = tape;
  }

  protected decide(): number {
    return this.#tape.get(this.asked) ?? 0;
  }

  /** The entries that did not come to pass: beyond the end of the run, or with a way that was not there. */
  get unused(): Tape {
    const { tape } = this;
    return new Map([...this.#tape].filter(([at, way]) => tape.get(at) !== way));
  }
}
