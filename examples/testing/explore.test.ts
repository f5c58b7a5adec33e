// The explorer in vitest: the same, with an invariant of one's own.
import { eduScenarios } from '@usrdrv/drivers/edu/scenarios';
import { Exhaustive, explore, exploreScenario, type MachineInvariant, scenarioNamed } from '@usrdrv/emu';
import { expect, test } from 'vitest';

const noLineIsStuck: MachineInvariant = {
  name: 'no line is held when the machine is off',
  atEnd: (machine) => (machine.line(16).asserted ? 'line 16 is held' : undefined),
};

test('one reader and two interrupts, in every order within two preemptions', { timeout: 60_000 }, () => {
  const { failures, covered } = explore(scenarioNamed('one-reader'), { strategy: new Exhaustive(2) });
  expect(failures, covered).toEqual([]);
});

test('the driver of edu computes a factorial, whichever single thing goes wrong', { timeout: 60_000 }, async () => {
  for (const scenario of eduScenarios().filter(({ name }) => name === 'edu-factorial')) {
    const { failures, covered } = await exploreScenario({ ...scenario, invariants: [noLineIsStuck] });
    expect(failures, covered).toEqual([]);
  }
});
