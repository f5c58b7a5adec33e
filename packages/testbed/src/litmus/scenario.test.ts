import { explore, replayThreads } from '@usrdrv/emu';
import { expect, it, vi } from 'vitest';
import { allowedOutcomes } from './check.ts';
import type { Litmus } from './litmus.ts';
import { litmusScenario } from './scenario.ts';
import { LITMUS_TESTS } from './tests.ts';

// Hundreds of runs, on a machine that may be busy.
vi.setConfig({ testTimeout: 30_000 });

function testNamed(name: string): Litmus {
  const test = LITMUS_TESTS.find((each) => each.name === name);
  if (test === undefined) throw new Error(`no test is called ${name}`);
  return test;
}

it('P6 of two opens one has the line: what the other is told depends on the moment', () => {
  expect([...allowedOutcomes(testNamed('two opens'), 2).allowed].sort()).toEqual([
    '-EBUSY | fd 0 => -',
    '-EBUSY | fd 1 => -',
    'fd 0 | -EBUSY => -',
    'fd 1 | -EBUSY => -',
  ]);
});

it('U5 of two that unmap a mapping one succeeds; every schedule within the bound is run, processes and functions included', () => {
  const { allowed, failures, covered } = allowedOutcomes(testNamed('a mapping unmapped twice'), 2);
  expect([...allowed].sort()).toEqual(['-EINVAL | 0 => -EINVAL', '0 | -EINVAL => -EINVAL']);
  expect(failures).toEqual([]);
  expect(covered).toBe('exhaustive within 2 preemptions: 22 schedules');
});

it('the invariants are looked after: the 2005 code fails the same test, by tokens that have the run again', () => {
  const scenario = litmusScenario(testNamed('two readers that do not wait, the line asserted'));
  const { failures } = explore(scenario, { kernel: 'chubb-2.6.11' });
  expect(failures.map(({ violation }) => violation.invariant)).toContain('EAGAIN is true');
  for (const { token, violation } of failures) expect(replayThreads(token, scenario).violation).toEqual(violation);
});
