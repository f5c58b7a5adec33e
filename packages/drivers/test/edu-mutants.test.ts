import { fileURLToPath } from 'node:url';
import type * as Emu from '@usrdrv/emu';
import { afterAll, expect, it, vi } from 'vitest';
import { importPatched } from '../../../test/patched.ts';
import type * as Scenarios from '../src/edu/scenarios.ts';
import { MUTANTS, type Mutant } from './edu-mutants.ts';

// Each is a driver of its own, bundled from the patched source with the machine that it runs on.
vi.setConfig({ testTimeout: 150_000 });

const EDU = fileURLToPath(new URL('../src/edu/', import.meta.url));
const ENTRY =
  "export { eduScenarios } from './scenarios.ts'; export { Exhaustive, exploreScenario } from '@usrdrv/emu';";

/** Ten times what a run takes: a driver that is interrupted for ever is found soon. */
const LIMIT_CHOICES = 10_000;

const table: string[] = [];

it.each(MUTANTS)('$what', async (mutant) => {
  const caught = await explored(mutant);
  table.push(`${mutant.what}\n    ${caught}`);
  expect(caught).toBeDefined();
});

it('there are at least 15, each different', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(15);
  expect(new Set(MUTANTS.map(({ file, from, to }) => `${file} ${from} ${to}`)).size).toBe(MUTANTS.length);
});

afterAll(() => console.log(table.join('\n')));

/** What the explorer says of the mutant: what it does wrong, in which scenario, and after what. */
async function explored({ file, from, to, shows }: Mutant): Promise<string | undefined> {
  const patched = await importPatched(ENTRY, EDU, { file: `${EDU}${file}`, from, to });
  const { eduScenarios, Exhaustive, exploreScenario } = patched as typeof Emu & typeof Scenarios;
  const scenarios = eduScenarios().filter(({ name }) => shows === undefined || name === shows);
  for (const scenario of scenarios) {
    const strategy = new Exhaustive(shows === undefined ? 0 : 1, 'delays');
    const options = { strategy, failures: 1, shrink: false, limitChoices: LIMIT_CHOICES };
    const [failure] = (await exploreScenario(scenario, options)).failures;
    if (failure === undefined) continue;
    const { what, step } = failure.violation;
    return `${scenario.name}${step === 'calm' ? '' : ` after ${step}`}: ${what}`;
  }
  return undefined;
}
