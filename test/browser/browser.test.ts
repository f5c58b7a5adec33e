import { expect, test } from 'vitest';
import { bundle, executablePath, hasChromium, runInChromium } from './chromium.ts';

// A build machine has Chromium, so there a missing one is a failure.
test.skipIf(!hasChromium && !process.env['CI'])(
  `core, emu, drivers and conformance load and work in a browser (needs ${executablePath})`,
  { timeout: 120_000 },
  async () => {
    const script = await bundle(new URL('./page.ts', import.meta.url).pathname);
    expect(await runInChromium(script)).toEqual({
      loaded: ['conformance', 'core', 'drivers', 'edu', 'emu'],
      address: '0000:00:04.0',
    });
  },
);
