import { eduScenarios } from '@usrdrv/drivers/edu/scenarios';
import { SCENARIOS, type Scenario, type ThreadScenario } from '@usrdrv/emu';

/** Threads as generators of system calls, or whole drivers. */
export type AnyScenario = ThreadScenario | Scenario;

/** All that can be explored by name: those of the explorer, and the drivers' own. */
export const ALL_SCENARIOS: readonly AnyScenario[] = [...SCENARIOS, ...eduScenarios()];

/** @throws RangeError no scenario of that name; the message has all names */
export function findScenario(name: string): AnyScenario {
  const found = ALL_SCENARIOS.find((each) => each.name === name);
  if (found !== undefined) return found;
  const names = ALL_SCENARIOS.map((each) => each.name).join(', ');
  throw new RangeError(`no scenario is called ${JSON.stringify(name)}: there are ${names}`);
}

export function isOfThreads(scenario: AnyScenario): scenario is ThreadScenario {
  return 'start' in scenario;
}
