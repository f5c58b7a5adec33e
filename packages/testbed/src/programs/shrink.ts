import { type Program, predict } from '@usrdrv/conformance/programs';

/**
 * The smallest program that still fails, found by leaving calls out: halves first, then single ones, until no call can be
 * spared. What the rules do not speak of once others are gone goes too.
 */
export async function shrink(program: Program, fails: (candidate: Program) => Promise<boolean>): Promise<Program> {
  let calls = program.calls;
  for (let size = Math.ceil(calls.length / 2); size >= 1; ) {
    let spared = false;
    for (let at = 0; at < calls.length; ) {
      const rest = [...calls.slice(0, at), ...calls.slice(at + size)];
      const candidate = { calls: predict({ calls: rest }, 'usrdrv-6.1').calls };
      if (await fails(candidate)) {
        calls = candidate.calls;
        spared = true;
      } else {
        at += size;
      }
    }
    if (size === 1 && !spared) break;
    size = Math.max(1, Math.floor(size / 2));
  }
  return { calls };
}
