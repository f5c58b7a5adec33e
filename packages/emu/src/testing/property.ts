import fc from 'fast-check';
import { type Fault, faults } from '../explore/fault-plan.ts';
import { type RunOptions, runScenario, type Scenario } from '../explore/scenario.ts';
import { TapeOracle } from '../explore/tape-oracle.ts';
import type { Tape } from '../explore/token.ts';
import { faultPlans } from './arbitraries.ts';

export interface ScenarioPropertyOptions extends Omit<RunOptions, 'oracle'> {
  /** What goes wrong: fault plans or schedules. Left out: {@link faultPlans}. */
  readonly under?: fc.Arbitrary<readonly Fault[] | Tape>;
}

/**
 * The property that a scenario holds whatever goes wrong, for `fc.assert`: it runs it again and again, each time on a fresh
 * machine with other faults. What fails is shrunk to the fewest faults, and its message has the token that `replay` takes.
 *
 * @example
 * ```ts
 * import { EduDevice, type Scenario } from '@usrdrv/emu';
 * import { deviceBehaviours, scenarioProperty } from '@usrdrv/emu/testing';
 * import fc from 'fast-check';
 *
 * const identifies: Scenario = {
 *   name: 'identifies',
 *   async run(powerOn) {
 *     const backend = powerOn({ devices: [new EduDevice()] });
 *     const device = backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
 *     if (device.bar(0).read32(0) !== 0x0100_00ed) throw new Error('that is no edu device');
 *   },
 * };
 * await fc.assert(scenarioProperty(identifies, { under: deviceBehaviours() }), { numRuns: 20 });
 * ```
 */
export function scenarioProperty(
  scenario: Scenario,
  o: ScenarioPropertyOptions = {},
): fc.IAsyncPropertyWithHooks<[readonly Fault[] | Tape]> {
  const { under = faultPlans(), ...options } = o;
  return fc.asyncProperty(under, async (plan) => {
    const oracle = isTape(plan) ? new TapeOracle(plan) : faults(plan);
    await runScenario(scenario, { ...options, oracle });
  });
}

function isTape(plan: readonly Fault[] | Tape): plan is Tape {
  return plan instanceof Map;
}
