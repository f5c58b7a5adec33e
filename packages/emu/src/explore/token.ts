import type { KernelProfile } from '@usrdrv/core';

/**
 * The choices of a run that were not calm: which way was taken, by the choice's position in the run, from 0. Whatever is
 * not in it is 0, so an empty tape is the calm run.
 */
export type Tape = ReadonlyMap<number, number>;

/** All that it takes to have a run again. */
export interface Token {
  readonly kernel: KernelProfile;
  /** Which program was run: the name of a scenario, of letters, digits, `.`, `_`, `~` and `-`. */
  readonly scenario: string;
  readonly tape: Tape;
}

const KERNELS: readonly KernelProfile[] = ['usrdrv-6.1', 'chubb-2.6.11'];
const NAME = /^[\w.~-]+$/;
/** A number > 0 in base 36, of 8 digits at most, and no other way to write it. */
const NUMBER = '[1-9a-z][0-9a-z]{0,7}';
const ENTRY = new RegExp(`^(${NUMBER})(?:[.](${NUMBER}))?$`);
const CALM = '0';

/**
 * Writes a token: `emu1:<kernel>:<scenario>:<tape>`, of characters that need no escape in a URL. The tape is `0` for the
 * calm run; else one entry a choice, joined by `-`: how many choices after the one before (the first: after the start),
 * and, where it is not 1, a `.` and which way; both in base 36.
 *
 * @example
 * ```ts
 * import { formatToken } from '@usrdrv/emu';
 * const token = formatToken({ kernel: 'usrdrv-6.1', scenario: 'transfer', tape: new Map([[0, 1], [36, 2]]) });
 * console.assert(token === 'emu1:usrdrv-6.1:transfer:1-10.2');
 * ```
 * @throws RangeError a scenario's name that no token can hold, an unknown kernel, a position that is no integer >= 0, a way
 *   that is no integer > 0
 */
export function formatToken({ kernel, scenario, tape }: Token): string {
  if (!KERNELS.includes(kernel)) throw new RangeError(`no kernel is called ${kernel}`);
  checkScenarioName(scenario);
  return `emu1:${kernel}:${scenario}:${formatTape(tape)}`;
}

/**
 * Reads a token. What {@link formatToken} wrote comes back; anything that it cannot have written is refused.
 * @throws TypeError what is no token; the message says which part of it is wrong
 */
export function parseToken(text: string): Token {
  const [version, kernel, scenario, tape, ...more] = typeof text === 'string' ? text.split(':') : [];
  const refuse = (why: string): never => {
    throw new TypeError(`${JSON.stringify(text)} is no token: ${why}`);
  };
  if (version !== 'emu1') return refuse('it does not start with emu1:');
  if (kernel === undefined || scenario === undefined || tape === undefined || more.length > 0) {
    return refuse('it has not the four parts of emu1:<kernel>:<scenario>:<tape>');
  }
  const known = KERNELS.find((each) => each === kernel);
  if (known === undefined) return refuse(`no kernel is called ${JSON.stringify(kernel)}`);
  if (!NAME.test(scenario)) return refuse(`no scenario can be called ${JSON.stringify(scenario)}`);
  return { kernel: known, scenario, tape: parseTape(tape) ?? refuse(`${JSON.stringify(tape)} is no tape`) };
}

/** @throws RangeError a name that no token can hold */
export function checkScenarioName(name: string): void {
  if (typeof name === 'string' && NAME.test(name)) return;
  throw new RangeError(`a scenario's name is of letters, digits, ".", "_", "~" and "-", not ${JSON.stringify(name)}`);
}

function formatTape(tape: Tape): string {
  let last = -1;
  const entries = [...tape]
    .sort(([a], [b]) => a - b)
    .map(([at, way]) => {
      if (!inTape(at + 1)) throw new RangeError(`a position is an integer >= 0, not ${at}`);
      if (!inTape(way)) throw new RangeError(`a way that is not calm is an integer > 0, not ${way}`);
      const gap = (at - last).toString(36);
      last = at;
      return way === 1 ? gap : `${gap}.${way.toString(36)}`;
    });
  return entries.join('-') || CALM;
}

function inTape(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value < 36 ** 8;
}

function parseTape(text: string): Tape | undefined {
  const tape = new Map<number, number>();
  if (text === CALM) return tape;
  let at = -1;
  for (const entry of text.split('-')) {
    const [, gap, way] = ENTRY.exec(entry) ?? [];
    if (gap === undefined || way === '1') return undefined;
    at += Number.parseInt(gap, 36);
    if (!inTape(at + 1)) return undefined;
    tape.set(at, way === undefined ? 1 : Number.parseInt(way, 36));
  }
  return tape;
}
