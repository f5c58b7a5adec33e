// Bundles a page for the browser, as its author would, and opens it in headless Chromium.
import { existsSync } from 'node:fs';
import { build } from 'esbuild';
import { chromium, type Page } from 'playwright-core';

/** Debian's; .ci/run installs it. USRDRV_CHROMIUM names another. */
export const executablePath = process.env['USRDRV_CHROMIUM'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(executablePath);

/** Bundles the packages as they are published: what is built, no plugin, nothing aliased, nothing of Node's. */
export async function bundle(page: string): Promise<string> {
  const result = await build({
    entryPoints: [page],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
  });
  return result.outputFiles[0]?.text ?? '';
}

export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
}

/** Opens an empty page, loads the script as its module, and gives the page once that has run. */
export async function openInChromium(script: string): Promise<OpenPage> {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    const thrown: Error[] = [];
    page.on('pageerror', (error) => thrown.push(error));
    await page.route('**/*', (route) =>
      route.request().url().endsWith('/page.js')
        ? route.fulfill({ contentType: 'text/javascript', body: script })
        : route.fulfill({ contentType: 'text/html', body: '<script type="module" src="/page.js"></script>' }),
    );
    // A browser gives crypto.subtle to localhost without TLS. Modules have run when the page counts as loaded.
    await page.goto('http://localhost/', { waitUntil: 'load' });
    if (thrown[0] !== undefined) throw thrown[0];
    return { page, [Symbol.asyncDispose]: () => browser.close() };
  } catch (error) {
    await browser.close();
    throw error;
  }
}
