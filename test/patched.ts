// Imports sources with a mistake in them: what mutants are made of.
import { readFileSync } from 'node:fs';
import { build, type Plugin } from 'esbuild';

export interface Patch {
  /** The file, absolute; what it says, once; and what it says instead. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * Bundles a module with all that it imports, one file of which is patched, and imports the bundle.
 * @param contents the module's source
 * @param folder where its imports are resolved from
 * @throws Error the file does not have what the patch replaces exactly once
 */
export async function importPatched(contents: string, folder: string, { file, from, to }: Patch): Promise<unknown> {
  const source = readFileSync(file, 'utf8');
  if (source.split(from).length !== 2) throw new Error(`${file} does not have ${JSON.stringify(from)} once`);
  const patched = source.replace(from, () => to);
  const patch: Plugin = {
    name: 'patch',
    setup({ onLoad }) {
      onLoad({ filter: /[.]ts$/ }, ({ path }) => (path === file ? { contents: patched, loader: 'ts' } : undefined));
    },
  };
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    conditions: ['usrdrv-source'],
    target: 'node20',
    logLevel: 'error',
    plugins: [patch],
    banner: { js: "import { createRequire as cr } from 'node:module'; const require = cr(import.meta.url);" },
  });
  const text = (outputFiles[0]?.text ?? '').replaceAll('import.meta.url', `'${import.meta.url}'`);
  return import(`data:text/javascript;base64,${Buffer.from(text).toString('base64')}`);
}
