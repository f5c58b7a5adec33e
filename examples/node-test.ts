// The explorer in node:test, without any other package: a reader of an irq file in every order, and a whole driver.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eduScenarios } from '@usrdrv/drivers/edu/scenarios';
import { Exhaustive, explore, exploreScenario, scenarioNamed } from '@usrdrv/emu';

test('one reader and two interrupts, in every order within two preemptions', () => {
  const { failures, covered } = explore(scenarioNamed('one-reader'), { strategy: new Exhaustive(2) });
  assert.deepEqual(failures, [], covered);
});

test('the driver of edu computes a factorial, whichever single thing goes wrong', async () => {
  for (const scenario of eduScenarios().filter(({ name }) => name === 'edu-factorial')) {
    const { failures, covered } = await exploreScenario(scenario);
    assert.deepEqual(failures, [], covered);
  }
});
