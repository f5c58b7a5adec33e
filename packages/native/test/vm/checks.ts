import assert from 'node:assert/strict';

/** What a program in the guest holds against the kernel, by name. */
export type Checks = Readonly<Record<string, () => void | Promise<void>>>;

/** Runs them one after the other: a line for each, and `N passed, N failed` at the end. */
export async function runChecks(checks: Checks): Promise<void> {
  let passed = 0;
  const all = Object.entries(checks);
  for (const [name, check] of all) {
    try {
      await check();
      passed++;
      console.log(`ok ${name}`);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      console.log(`not ok ${name}\n${text.replace(/^/gm, '  ')}`);
    }
  }
  console.log(`${passed} passed, ${all.length - passed} failed`);
}

/** A system call's result, which is no error. */
export function succeeds(result: number): number {
  assert(result >= 0, `errno ${-result}`);
  return result;
}
