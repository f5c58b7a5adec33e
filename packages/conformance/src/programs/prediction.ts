import { errnoName } from '@usrdrv/core';

/**
 * What a call logs: its result and what it handed out, as text. Undefined: the rules do not say, so the call is left out of
 * the program.
 */
export type Prediction = string | undefined;

export const LEFT_OUT: Prediction = undefined;

/** The log of a call that failed. */
export function failed(errno: number): string {
  return `-${errnoName(errno)}`;
}
