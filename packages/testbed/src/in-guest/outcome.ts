// What becomes of calls to devices that are pulled out, and of what was opened of them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { SystemError } from '@usrdrv/core';

/** Calls until it fails. */
export async function again(call: () => Promise<unknown>): Promise<never> {
  for (;;) {
    await call();
    await delay(1);
  }
}

/** The code of the error that a call ends with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    return `ended with ${String(await call)}`;
  } catch (error) {
    return error instanceof SystemError ? error.code : String(error);
  }
}

/** The mappings and descriptors of this process that are of such files. */
export function held(files: RegExp): string[] {
  const mappings = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const descriptors = readdirSync('/proc/self/fd').flatMap((fd) => linkOf(`/proc/self/fd/${fd}`));
  return [...mappings, ...descriptors].filter((each) => files.test(each));
}

/** Nothing for a descriptor that is gone by now, as that of the directory is. */
function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}
