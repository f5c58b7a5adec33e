import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { root, runModule } from './run.ts';

const programs = readdirSync(join(root, 'examples')).filter((name) => /^[^.]+\.ts$/.test(name));

describe.skipIf(programs.length === 0).concurrent('each example runs to its end', () => {
  test.each(programs)('examples/%s', { timeout: 120_000 }, async (name) => {
    const { ended, output } = await runModule(join(root, 'examples', name));
    if (ended !== 0) throw new Error(`ended with ${ended}\n${output}`);
  });
});
