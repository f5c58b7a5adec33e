import { spawnSync } from 'node:child_process';

/** Something whose cost is measured against others in the same run. */
export interface Contestant {
  readonly name: string;
  /** Does the work `rounds` times. */
  run(rounds: number): void | Promise<void>;
}

/** The one that this process is for, where {@link eachAlone} started it. */
export const [, , only] = process.argv;

/**
 * Runs this file once for each name, in a process of its own, one after the other.
 * @param options of Node, for all of them
 */
export function eachAlone(names: readonly string[], options: readonly string[] = []): void {
  const [, script = ''] = process.argv;
  for (const name of names) {
    const { status, signal } = spawnSync(process.execPath, [...options, script, name], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${name} ended with ${signal ?? status}`);
  }
}

const TURNS = 21;
const TURN_MS = 50;
const WARM_MS = 500;

/**
 * Measures contestants in turn, several times over, so that a machine whose speed drifts treats them alike; prints the
 * median cost of a round, and its ratio to the first, the reference.
 */
export async function compare(title: string, contestants: readonly Contestant[]): Promise<void> {
  const sizes: number[] = [];
  for (const contestant of contestants) sizes.push(await roundsFor(contestant));
  const costs = contestants.map((): number[] => []);
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [at, contestant] of contestants.entries()) {
      const rounds = sizes[at] ?? 1;
      costs[at]?.push((await timed(contestant, rounds)) / rounds);
    }
  }
  console.log(`${title} (median of ${TURNS} turns)`);
  const reference = median(costs[0] ?? []);
  for (const [at, { name }] of contestants.entries()) {
    const cost = median(costs[at] ?? []);
    const rate = (1e9 / cost).toLocaleString('en', { maximumFractionDigits: 0 });
    console.log(
      `  ${name.padEnd(34)} ${cost.toFixed(0).padStart(8)} ns ${rate.padStart(14)}/s ${times(cost / reference).padStart(8)} x`,
    );
  }
}

/** A ratio; of what costs less than the reference, its inverse. */
function times(ratio: number): string {
  return ratio < 1 ? `1/${(1 / ratio).toFixed(2)}` : ratio.toFixed(2);
}

/** How many rounds take about a turn; finding out warms the code up, until V8 has compiled what it will. */
async function roundsFor(contestant: Contestant): Promise<number> {
  for (let rounds = 64; ; rounds *= 4) {
    const ms = (await timed(contestant, rounds)) / 1e6;
    if (ms > WARM_MS) return Math.ceil((rounds * TURN_MS) / ms);
  }
}

async function timed(contestant: Contestant, rounds: number): Promise<number> {
  const start = process.hrtime.bigint();
  await contestant.run(rounds);
  return Number(process.hrtime.bigint() - start);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
