import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import { describe, expect, test } from 'vitest';
import { CASES } from './cases/index.ts';
import { conformance } from './conformance.ts';
import { RULES, type RuleId } from './rules.ts';
import { runConformance } from './run-conformance.ts';

const bed = { setup: () => emulatedTarget('usrdrv-6.1'), teardown: endTarget };

test('every rule has a case for each kernel that it is a rule of', () => {
  for (const [id, [, kernels]] of Object.entries(RULES)) {
    for (const kernel of kernels) {
      const cases = CASES.filter((c) => c.id === id && (c.kernel === undefined || c.kernel === kernel));
      expect.soft(cases.length, `${id} on ${kernel}`).toBeGreaterThan(0);
    }
  }
});

test('no two cases of a kernel have the same name', () => {
  for (const kernel of ['usrdrv-6.1', 'chubb-2.6.11']) {
    const names = CASES.filter((c) => c.kernel === undefined || c.kernel === kernel).map(
      ({ id, title }) => `${id} ${title}`,
    );
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  }
});

describe('rows', () => {
  test('there is one for each rule asked for, with its cases', async () => {
    const names: string[] = [];
    const rules: RuleId[] = ['P5', 'D3'];
    const rows = await runConformance({ ...bed, rules, onProgress: (_done, _all, name) => names.push(name) });
    expect(rows.map(({ id, passed, failed, skipped }) => ({ id, passed, failed, skipped }))).toEqual([
      { id: 'P5', passed: 4, failed: 0, skipped: 0 },
      { id: 'D3', passed: 0, failed: 0, skipped: 1 },
    ]);
    expect(rows[1]?.cases[0]?.reason).toMatch(/interleavings/);
    expect(names[0]).toBe('P5 a read that returns a count leaves the line masked');
  });

  test('a kernel that breaks a rule fails its case, which says what was expected', async () => {
    const [row] = await runConformance({
      ...bed,
      rules: ['P9'],
      setup: () => {
        const target = emulatedTarget('usrdrv-6.1');
        // A line that is stuck masked: nothing is ever counted.
        const { chip } = target.machine;
        chip.unmask = () => {};
        return target;
      },
    });
    expect(row).toMatchObject({ id: 'P9', passed: 0, failed: 2 });
    expect(row?.cases[0]?.reason).toBe('P9: interrupts taken before any read: expected 1, got 0');
  });

  test('a machine that cannot be had skips its cases with the reason', async () => {
    const machines = { '8259': 'this machine has an I/O APIC' };
    const [row] = await runConformance({ ...bed, rules: ['I8'], machines });
    const skipped = row?.cases.filter(({ outcome }) => outcome === 'skipped') ?? [];
    expect(skipped).toHaveLength(3);
    expect(new Set(skipped.map(({ reason }) => reason))).toEqual(new Set([machines['8259']]));
  });
});

test('a runner is told of every case: to run it, or to skip it with a reason', async () => {
  const [tests, skips] = [new Map<string, () => Promise<void>>(), new Map<string, string>()];
  conformance({
    ...bed,
    test: (name, run) => void tests.set(name, run),
    skip: (name, reason) => void skips.set(name, reason),
    supports: { profile: 'usrdrv-6.1', missing: { edu: 'no edu here' } },
  });
  expect(skips.get('P5 a read that returns a count leaves the line masked')).toBe('no edu here');
  expect(tests.has('P6 a line that does not exist is ENOENT')).toBe(true);
  await expect(tests.get('P6 a line that does not exist is ENOENT')?.()).resolves.toBeUndefined();
});
