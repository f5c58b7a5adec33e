import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { exploreCommand, replayCommand } from './explore.ts';
import { mergeCommand } from './merge.ts';

vi.setConfig({ testTimeout: 600_000 });

afterEach(() => void vi.restoreAllMocks());

/** What a command writes to stdout. */
async function printed(run: () => number | Promise<number>): Promise<{ readonly code: number; readonly text: string }> {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const code = await run();
  vi.restoreAllMocks();
  return { code, text };
}

const options = { scenario: 'all', strategy: 'exhaustive', bound: 2, runs: 1_000_000, seed: 1, json: true } as const;

it('explore --kernel chubb-2.6.11 --json finds D1 to D9; its tokens replay to the same timeline, here twice and in another process', async () => {
  const { code, text } = await printed(() => exploreCommand({ ...options, kernel: 'chubb-2.6.11', bound: 1 }));
  const rows: { failures?: { defect: string; token: string }[] }[] = JSON.parse(text);
  const failures = rows.flatMap((row) => row.failures ?? []);
  const defects = new Set(failures.map(({ defect }) => defect));
  const known = ['D1', 'D2', 'D3', 'D4', 'D5', 'D6', 'D7', 'D8', 'D9', 'UD4', 'UD9', 'UD11'];
  expect([...defects]).toEqual(expect.arrayContaining(known));
  expect(code).toBe(1);
  const tokens = failures.map(({ token }) => token);
  const once = await printed(() => replayCommand(tokens, {}));
  expect(once.code).toBe(1);
  expect(await printed(() => replayCommand(tokens, {}))).toEqual(once);
  const node = ['--conditions=usrdrv-source', '--import', 'tsx', fileURLToPath(new URL('main.ts', import.meta.url))];
  const elsewhere = spawnSync(process.execPath, [...node, 'replay', ...tokens], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  expect(elsewhere.stderr).toBe('');
  expect(elsewhere.stdout).toBe(once.text);
  expect(elsewhere.status).toBe(1);
});

it('explore --kernel usrdrv-6.1 finds nothing, and says within which bound', async () => {
  const { code, text } = await printed(() => exploreCommand({ ...options, kernel: 'usrdrv-6.1', bound: 1 }));
  const rows: { covered?: string; skipped?: string; failures?: unknown[] }[] = JSON.parse(text);
  for (const { covered, skipped, failures } of rows) {
    if (skipped !== undefined) continue;
    expect(failures).toEqual([]);
    expect(covered).toMatch(/^exhaustive within (?:[01] preemptions?|1 deviation): [\d,]+ schedules$/);
  }
  expect(code).toBe(0);
});

it('a campaign at random says with which seed', async () => {
  const random = { ...options, kernel: 'chubb-2.6.11', scenario: 'two-readers', strategy: 'random', seed: 7 } as const;
  const run = () => printed(() => exploreCommand({ ...random, json: false, runs: 100 }));
  const { text } = await run();
  expect(text).toContain('bounded by 100 runs (random, seed 7)');
  expect(await run()).toEqual({ code: 1, text });
});

it('replay --vcd --perfetto writes the files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'usrdrv-'));
  try {
    const files = { vcd: join(folder, 'run.vcd'), perfetto: join(folder, 'run.json') };
    const { text } = await printed(() => replayCommand(['emu1:chubb-2.6.11:two-readers:0'], files));
    expect(text).toContain('nobody sleeps for ever: starvation');
    expect(readFileSync(files.vcd, 'utf8')).toContain('$enddefinitions');
    expect(JSON.parse(readFileSync(files.perfetto, 'utf8')).traceEvents.length).toBeGreaterThan(10);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('shards share a campaign out, and merge puts it together again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'usrdrv-'));
  try {
    const campaign = { ...options, kernel: 'chubb-2.6.11', bound: 0 } as const;
    const whole: Row[] = JSON.parse((await printed(() => exploreCommand(campaign))).text);
    const files: string[] = [];
    for (const index of [0, 1, 2]) {
      const file = join(folder, `${index}.json`);
      writeFileSync(file, (await printed(() => exploreCommand({ ...campaign, shard: { index, of: 3 } }))).text);
      files.push(file);
    }
    const { text, code } = await printed(() => mergeCommand(files));
    const byName = (a: Row, b: Row) => (a.scenario < b.scenario ? -1 : 1);
    expect(JSON.parse(text).sort(byName)).toEqual(whole.sort(byName));
    expect(code).toBe(1);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('shards of a random campaign have seeds of their own, whose failures are counted together', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'usrdrv-'));
  try {
    const campaign = {
      ...options,
      kernel: 'chubb-2.6.11',
      scenario: 'two-readers',
      strategy: 'pct',
      runs: 500,
    } as const;
    const files: string[] = [];
    for (const index of [0, 1]) {
      const file = join(folder, `${index}.json`);
      writeFileSync(file, (await printed(() => exploreCommand({ ...campaign, shard: { index, of: 2 } }))).text);
      files.push(file);
    }
    const parts = files.map((file) => JSON.parse(readFileSync(file, 'utf8'))[0]);
    expect(parts[0].covered).not.toBe(parts[1].covered);
    const [merged] = JSON.parse((await printed(() => mergeCommand(files))).text);
    expect(merged.runs).toBe(1000);
    const times = (row: Row) => (row.failures ?? []).reduce((sum, failure) => sum + failure.times, 0);
    expect(times(merged)).toBe(times(parts[0]) + times(parts[1]));
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('replay shows a run of whole drivers too: what its devices did, and the choice that was not calm', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'usrdrv-'));
  try {
    const campaign = { ...options, kernel: 'chubb-2.6.11', scenario: 'edu-abort' } as const;
    const [row] = JSON.parse((await printed(() => exploreCommand(campaign))).text);
    const { token } = row.failures.find(({ defect }: { defect: string }) => defect === 'UD9');
    const files = { vcd: join(folder, 'run.vcd'), perfetto: join(folder, 'run.json') };
    const { text, code } = await printed(() => replayCommand([token], files));
    expect(code).toBe(1);
    expect(text).toMatch(/^step {2}ms +choice/);
    expect(text).toContain('pci.enable: the 1st time');
    expect(text).toContain('EBUSY');
    expect(readFileSync(files.vcd, 'utf8')).toContain('$enddefinitions');
    expect(JSON.parse(readFileSync(files.perfetto, 'utf8')).traceEvents.length).toBeGreaterThan(1);
  } finally {
    await rm(folder, { recursive: true });
  }
});

interface Row {
  readonly scenario: string;
  readonly failures?: readonly { readonly times: number }[];
}
