// npm run bench: runs packages/*/bench/*.bench.ts on the built packages, as their users get them. A word picks files:
// `npm run bench -- irq`.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { build, install, packageFolders, root } from './setup.mjs';

const [word = ''] = process.argv.slice(2);

try {
  install();
  build();
  const files = packageFolders()
    .flatMap(benchesOf)
    .filter((file) => file.includes(word));
  if (files.length === 0) throw new Error(word ? `no bench file matches '${word}'` : 'there is no bench file yet');
  for (const file of files) await run(file);
} catch (error) {
  console.error(`npm run bench: ${error.message}`);
  process.exitCode = 1;
}

function benchesOf(folder) {
  const bench = join(folder, 'bench');
  if (!existsSync(bench)) return [];
  return readdirSync(bench)
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => join(bench, name));
}

async function run(file) {
  const { build: bundle } = await import('esbuild');
  // Beside the bench, so that its imports are found from there; plain esbuild, because tsx names every closure and
  // that shows in a hot loop.
  const outfile = join(dirname(file), `.${basename(file, '.ts')}.${process.pid}.mjs`);
  try {
    await bundle({
      entryPoints: [file],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      sourcemap: 'inline',
      logLevel: 'error',
    });
    console.log(`\n${relative(root, file)}`);
    const { status, signal } = spawnSync(process.execPath, ['--expose-gc', '--enable-source-maps', outfile], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (status !== 0) throw new Error(`${relative(root, file)} ended with ${signal ?? status}`);
  } finally {
    rmSync(outfile, { force: true });
  }
}
