import { fileURLToPath } from 'node:url';
import { afterAll, expect, it, vi } from 'vitest';
import { importPatched } from '../../../test/patched.ts';
import type * as Emu from '../src/index.ts';
import { MUTANTS, type Mutant } from './mutants.ts';

// Each is a kernel of its own, bundled from the patched source and explored.
vi.setConfig({ testTimeout: 90_000 });

const ENTRY = "export * from '../index.ts';";
const KERNEL = fileURLToPath(new URL('../src/kernel/', import.meta.url));

/** Small ones first: most mistakes show there. */
const ORDER = ['one-reader', 'nonblocking', 'edge-reopen', 'signal', 'epoll-level', 'epoll-edge-drain', 'poll-timeout'];

const table: string[] = [];

it.each(MUTANTS)('$what', async (mutant) => {
  const caught = await explored(mutant);
  table.push(`${(caught ?? `equivalent: ${mutant.equivalent}`).padEnd(60)} ${mutant.what}`);
  if (mutant.equivalent === undefined) expect(caught).toBeDefined();
  else expect(caught).toBeUndefined();
});

it('there are at least 30, each different', () => {
  expect(MUTANTS.filter(({ equivalent }) => equivalent === undefined).length).toBeGreaterThanOrEqual(30);
  expect(new Set(MUTANTS.map(({ file, from, to }) => `${file} ${from} ${to}`)).size).toBe(MUTANTS.length);
});

afterAll(() => console.log(table.join('\n')));

/** What the explorer says of the mutant: the invariant that it breaks, and in which scenario. */
async function explored(mutant: Mutant): Promise<string | undefined> {
  const { file, from, to } = mutant;
  const patched = await importPatched(ENTRY, KERNEL, { file: `${KERNEL}${file}`, from, to });
  const { Exhaustive, explore, SCENARIOS } = patched as typeof Emu;
  const scenarios = SCENARIOS.filter(
    ({ only, mostPreemptions }) => only?.kernel !== 'chubb-2.6.11' && mostPreemptions === undefined,
  );
  const rank = (name: string) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
  scenarios.sort((a, b) => rank(a.name) - rank(b.name));
  for (const bound of [0, 1, 2]) {
    for (const scenario of scenarios) {
      if (bound === 2 && scenario.name === 'two-readers-again') continue;
      const options = { strategy: new Exhaustive(bound), failures: 1, shrink: false };
      const [failure] = explore(scenario, options).failures;
      if (failure !== undefined) return `${failure.violation.invariant} (${scenario.name})`;
    }
  }
  return undefined;
}
