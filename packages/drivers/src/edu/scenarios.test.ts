import { Exhaustive, exploreScenario, RandomDeviations } from '@usrdrv/emu';
import { expect, test, vi } from 'vitest';
import { eduScenarios } from './scenarios.ts';

// Hundreds of runs each, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000 });

const SEED = 1;

test.each(eduScenarios())(
  '$name: whichever single thing goes wrong, the driver works again when it is over',
  async (scenario) => {
    const { failures, covered } = await exploreScenario(scenario, { strategy: new Exhaustive(1, 'delays') });
    expect(failures).toEqual([]);
    expect(covered).toMatch(/^exhaustive within 1 deviation: \d+ schedules$/);
  },
);

test.each(eduScenarios())('$name: and whichever pair of things, as far as chance finds them', async (scenario) => {
  const { failures } = await exploreScenario(scenario, { strategy: new RandomDeviations(SEED, 2, true), runs: 100 });
  expect(failures).toEqual([]);
});

test.each(eduScenarios().filter(({ only }) => only === undefined))(
  '$name: on the kernel of 2005 all that goes wrong is UD4, UD9 and UD11',
  async (scenario) => {
    const { failures } = await exploreScenario(scenario, { kernel: 'chubb-2.6.11' });
    const wrong = failures.map(({ violation }) => violation.what);
    expect(wrong).toContainEqual(expect.stringContaining('page frame'));
    expect(wrong).toContainEqual(expect.stringMatching(/^EBUSY: .*usr_pci_open/));
    for (const what of wrong) expect(what).toMatch(/still holds \d page frames?|^EBUSY|nothing was ever mapped at 0x0/);
  },
);
