import type { KernelProfile } from '@usrdrv/core';
import { describe, expect, it, vi } from 'vitest';
import { PartialOrder } from './dpor.ts';
import { Exhaustive } from './exhaustive.ts';
import { type Exploration, explore } from './explore.ts';
import { SCENARIOS, scenarioNamed } from './scenarios.ts';

// Thousands of runs, on a machine that may be busy.
vi.setConfig({ testTimeout: 90_000 });

const KERNELS: readonly KernelProfile[] = ['chubb-2.6.11', 'usrdrv-6.1'];
const MOST = 30_000;

function invariants({ failures }: Exploration): string[] {
  return [...new Set(failures.map(({ violation }) => violation.invariant))].sort();
}

describe.each(KERNELS)('partial-order reduction on %s', (kernel) => {
  const scenarios = SCENARIOS.filter(
    ({ only, name }) => (only?.kernel ?? kernel) === kernel && name !== 'three-threads',
  );

  it.each(scenarios)('$name: has every outcome and every failure that plain search has', (scenario) => {
    const plain = explore(scenario, { kernel, strategy: new Exhaustive(1), outcomes: true, shrink: false });
    const reduced = explore(scenario, {
      kernel,
      strategy: new PartialOrder(),
      runs: MOST,
      outcomes: true,
      shrink: false,
    });
    expect([...reduced.outcomes.keys()]).toEqual(expect.arrayContaining([...plain.outcomes.keys()]));
    expect(invariants(reduced)).toEqual(expect.arrayContaining(invariants(plain)));
  });

  it('three threads, two interrupts: the same outcomes and failures as plain bounded search, in a tenth of the schedules', () => {
    const run = (strategy: Exhaustive | PartialOrder) =>
      explore(scenarioNamed('three-threads'), { kernel, strategy, outcomes: true, shrink: false });
    const plain = run(new Exhaustive(1));
    const reduced = run(new PartialOrder(1));
    expect(plain.exhaustive && reduced.exhaustive).toBe(true);
    expect([...reduced.outcomes.keys()].sort()).toEqual([...plain.outcomes.keys()].sort());
    expect(invariants(reduced)).toEqual(invariants(plain));
    expect(reduced.runs * 10).toBeLessThan(plain.runs);
  });
});
