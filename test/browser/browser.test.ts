import { createHash } from 'node:crypto';
import type { KernelProfile } from '@usrdrv/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build } from '../../scripts/setup.mjs';
import { bundle, executablePath, hasChromium, type OpenPage, openInChromium } from './chromium.ts';
import { conformanceRows, demoBytes, eduDemo } from './demo.ts';
import type {} from './page.ts';

// A build machine has Chromium, so there a missing one is a failure.
const skipped = !hasChromium && !process.env['CI'];

describe.skipIf(skipped)(`in a browser (needs ${executablePath})`, () => {
  let opened: OpenPage;
  beforeAll(async () => {
    build();
    opened = await openInChromium(await bundle(new URL('./page.ts', import.meta.url).pathname));
  }, 120_000);
  afterAll(() => opened?.[Symbol.asyncDispose]());

  test.each<{ kernel: KernelProfile; msi: boolean }>([
    { kernel: 'usrdrv-6.1', msi: false },
    { kernel: 'usrdrv-6.1', msi: true },
    { kernel: 'chubb-2.6.11', msi: false },
  ])('the edu driver computes and copies as it does in Node: $kernel, msi $msi', async ({ kernel, msi }) => {
    const there = await opened.page.evaluate(({ kernel, msi }) => inPage.eduDemo(kernel, msi), { kernel, msi });
    const hash = createHash('sha256').update(demoBytes()).digest('hex');
    expect(there).toMatchObject({ factorial: 3_628_800, sent: hash, received: hash, dmaReports: [] });
    // One for the factorial, and two for each of 41 blocks.
    expect(there.interrupts).toBe(83);
    expect(there).toEqual(await eduDemo(kernel, msi));
  });

  test.each<KernelProfile>(['usrdrv-6.1', 'chubb-2.6.11'])(
    'each rule of %s holds as it does in Node',
    { timeout: 120_000 },
    async (kernel) => {
      const rows = await opened.page.evaluate((profile) => inPage.conformanceRows(profile), kernel);
      expect(rows.length).toBeGreaterThan(30);
      expect(rows.filter((row) => !row.includes(' 0 failed'))).toEqual([]);
      expect(rows).toEqual(await conformanceRows(kernel));
    },
  );
});
