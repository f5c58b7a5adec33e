// And the kernel itself: whatever a program calls, and whatever goes wrong meanwhile, its end leaves nothing behind.
import { type Program, programs, runProgram } from '@usrdrv/conformance';
import { faults } from '@usrdrv/emu';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import { FAULT_TAGS, faultPlans } from '@usrdrv/emu/testing';
import '@usrdrv/emu/testing/vitest';
import fc from 'fast-check';
import { expect, test } from 'vitest';

/** What a program starts from must be there: its first three mappings. */
const MAPPINGS = 3;
const plans = faultPlans({ tags: [...FAULT_TAGS, 'dma.merge', 'interrupt.route'] }).map((plan) =>
  plan.map((fault) => (fault.tag === 'alloc.fail' ? { ...fault, nth: (fault.nth ?? 1) + MAPPINGS } : fault)),
);

/** A device that was pulled out has no configuration space to observe. */
function withoutObserving({ calls }: Program) {
  return calls.filter(({ call }) => call !== 'observe');
}

test('random programs of system calls, whatever goes wrong', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(programs(), plans, async (program, plan) => {
      const target = emulatedTarget('usrdrv-6.1', { oracle: faults(plan) });
      await runProgram(target, withoutObserving(program));
      endTarget(target);
      expect(target.machine.kernel.processes.size).toBe(0);
      expect(target.machine).toHaveNoKernelWarnings();
      expect(target.machine).toHaveReleasedEverything();
    }),
    { numRuns: 500 },
  );
});
