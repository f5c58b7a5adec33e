import { describe, expect, it } from 'vitest';
import { record } from '../explore/recording.ts';
import { scenarioNamed } from '../explore/scenarios.ts';
import { columns } from './columns.ts';
import { perfetto } from './perfetto.ts';
import { vcd } from './vcd.ts';

/** D2: both readers sleep, one interrupt comes, and the one that it did not reach sleeps on behind a masked line. */
const D2 = 'emu1:chubb-2.6.11:two-readers:0';

describe('a recorded run', () => {
  const recording = record(D2, scenarioNamed('two-readers'));

  it('has a moment for each step, the last of which shows the line masked with nothing to read', () => {
    expect(recording.actors).toEqual(['A', 'B', 'irq/cpu0', 'device']);
    expect(recording.moments.at(-1)?.lines).toEqual([
      { asserted: false, masked: true, disabled: true, depth: 1, count: 0 },
    ]);
    expect(recording.moments.at(-1)?.threads).toContain('asleep');
  });

  it('as columns: who took which step, and how the line was after it', () => {
    const text = columns(recording);
    expect(text).toMatch(/^step {2}A +B +irq\/cpu0 +device +irq 16: line mask depth count\n/);
    expect(text).toMatch(/\n\d+ +H2 +high yes {2}1 {5}1\n/);
    expect(text).toContain('nobody sleeps for ever: starvation');
    expect(text.trimEnd().endsWith(D2)).toBe(true);
  });

  it('as VCD: every change refers to a signal that was declared, and time goes up', () => {
    const [header = '', body = ''] = vcd(recording).split('$enddefinitions $end\n');
    const declared = new Map(
      [...header.matchAll(/\$var \w+ (\d+) (\S+) (\S+) \$end/g)].map(([, bits, id, name]) => [id, { bits, name }]),
    );
    expect([...declared.values()].map(({ name }) => name)).toEqual(
      expect.arrayContaining(['line', 'mask', 'depth', 'count', 'state', 'wake']),
    );
    let time = -1;
    for (const line of body.trimEnd().split('\n')) {
      if (line.startsWith('$')) continue;
      const at = /^#(\d+)$/.exec(line);
      if (at !== null) {
        expect(Number(at[1])).toBeGreaterThan(time);
        time = Number(at[1]);
        continue;
      }
      const [, scalar, vector] = /^(?:[01x](\S+)|b[01x]+ (\S+))$/.exec(line) ?? [];
      expect(declared.get(scalar ?? vector ?? ''), line).toBeDefined();
    }
    expect(time).toBe(recording.moments.length);
  });

  it('as a trace for Perfetto: a slice for each step, on the track of who took it', () => {
    const { traceEvents } = JSON.parse(perfetto(recording));
    const slices = traceEvents.filter(({ ph }: { ph: string }) => ph === 'X');
    expect(slices).toHaveLength(recording.moments.length);
    expect(traceEvents.at(-1)).toMatchObject({ ph: 'i', name: 'nobody sleeps for ever' });
  });
});
