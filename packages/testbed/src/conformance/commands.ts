import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

type Command = ReturnType<NodeGuest['run']>;

/** The first of a guest's edu devices. */
export const EDU = '0000:01:00.0';

/** Runs a script in which `usrdrv` is the command line of the guest, with what it says to standard error. */
export function usrdrvShell(guest: NodeGuest): (script: string) => Command {
  return (script) => guest.shell(`exec 2>&1; ${script.replaceAll('usrdrv ', '/bin/node /usrdrv/bin/usrdrv.mjs ')}`);
}

/** Commands that are run in a guest, and what they should have printed. */
export class Commands {
  readonly checks: Check[] = [];

  /** The command ends with status 0, and its output has each of these. */
  expects(name: string, command: Command, ...shape: RegExp[]): Promise<string> {
    return this.#expects(name, 0, command, shape);
  }

  /** The command ends with status 1. */
  refuses(name: string, command: Command, ...shape: RegExp[]): Promise<string> {
    return this.#expects(name, 1, command, shape);
  }

  async #expects(name: string, expected: number, command: Command, shape: readonly RegExp[]): Promise<string> {
    const { status, stdout } = await command;
    const missing = shape.find((line) => !line.test(stdout));
    if (status === expected && missing === undefined) this.checks.push({ name });
    else {
      const wrong = `status ${status}, ${missing === undefined ? 'with' : `without ${missing}`}:\n${stdout}`;
      this.checks.push({ name, wrong: wrong.replaceAll('\n', '\n  ') });
    }
    return stdout;
  }
}

/**
 * What a program printed: `ok name`, or `not ok name` and why in lines that are indented, and in the end how many of each.
 * So do packages/native/test/vm/guest.ts and its neighbours, each for the kernels that have what it is about.
 */
export function checksIn({ status, stdout }: Awaited<Command>, program: string): Check[] {
  const checks = [...stdout.matchAll(/^(not )?ok (.*)\n?((?: {2}.*\n?)*)/gm)].map(([, not, name = '', why = '']) => ({
    name,
    ...(not !== undefined && { wrong: why.trim() }),
  }));
  if (status !== 0 || !/^\d+ passed, \d+ failed$/m.test(stdout)) {
    checks.push({ name: `the checks come to their end (${program})`, wrong: `status ${status}` });
  }
  return checks;
}

/** Runs one of them. */
export async function printedChecks(guest: NodeGuest, program: string): Promise<Check[]> {
  return checksIn(await guest.run(program), program);
}
