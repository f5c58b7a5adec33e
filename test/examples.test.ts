import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root, runModule } from './run.ts';

const programs = readdirSync(join(root, 'examples')).filter((name) => /^[^.]+\.ts$/.test(name));

/** What they say at the end, where that tells whether they did it. */
const lastLines: Readonly<Record<string, string>> = {
  'checksum.ts': 'the same',
  'led.ts': '○ ○ ○ ○ ● ○ ○ ○  pressed',
  'led-select.ts': '3 interrupts, 6 timeouts, LEDs 0b00000001',
};

describe.skipIf(programs.length === 0).concurrent('each example runs to its end', () => {
  test.each(programs)('examples/%s', { timeout: 120_000 }, async (name) => {
    const { ended, output } = await runModule(join(root, 'examples', name));
    if (ended !== 0) throw new Error(`ended with ${ended}\n${output}`);
    const expected = lastLines[name];
    if (expected !== undefined) expect(output.trimEnd().split('\n').at(-1)).toBe(expected);
  });
});
