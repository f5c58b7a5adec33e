// Bundles a page for the browser and runs it in headless Chromium.
import { existsSync } from 'node:fs';
import { type BuildResult, build, type Plugin } from 'esbuild';
import { chromium } from 'playwright-core';

/** Debian's; .ci/run installs it. USRDRV_CHROMIUM names another. */
export const executablePath = process.env['USRDRV_CHROMIUM'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(executablePath);

/**
 * The heart of memfs asks for two of Node's modules and expects whoever bundles it for a browser to provide them.
 * Nothing else may ask for any: an import of `node:` that is not here fails the bundle.
 */
const memfsNeeds: Readonly<Record<string, string>> = {
  'node:buffer': 'buffer/',
  'node:path': 'path-browserify',
};

const onlyWhatMemfsNeeds: Plugin = {
  name: 'only what memfs needs of Node',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path, importer }) => {
      const shim = memfsNeeds[path];
      if (shim === undefined || !/[/\\]node_modules[/\\]/.test(importer)) {
        return { errors: [{ text: `${importer} imports ${path}, which no browser has` }] };
      }
      return build.resolve(shim, { kind: 'import-statement', resolveDir: import.meta.dirname });
    });
  },
};

export async function bundle(page: string): Promise<string> {
  const result: BuildResult<{ write: false }> = await build({
    entryPoints: [page],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    conditions: ['usrdrv-source'],
    logLevel: 'silent',
    plugins: [onlyWhatMemfsNeeds],
  });
  return result.outputFiles[0]?.text ?? '';
}

/** Loads the script as a module of an empty page and gives what it sets `window.result` to, or throws what it throws. */
export async function runInChromium(script: string): Promise<unknown> {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    const thrown = new Promise<never>((_, reject) => page.on('pageerror', reject));
    await page.route('**/*', (route) => {
      const isScript = route.request().url().endsWith('/page.js');
      return isScript
        ? route.fulfill({ contentType: 'text/javascript', body: script })
        : route.fulfill({ contentType: 'text/html', body: '<script type="module" src="/page.js"></script>' });
    });
    const result = page
      .goto('http://usrdrv.test/')
      .then(() => page.waitForFunction('window.result', undefined, { timeout: 60_000 }))
      .then((handle) => handle.jsonValue());
    // Whichever comes second is told to nobody.
    thrown.catch(() => {});
    result.catch(() => {});
    return await Promise.race([result, thrown]);
  } finally {
    await browser.close();
  }
}
