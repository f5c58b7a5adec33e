// Puts the addon into build/Release, where the package looks for it; where it cannot be compiled, the reason in its place.
import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, NotHere, root } from './compile.mjs';

const release = join(root, 'build', 'Release');
const target = join(release, 'usrdrv.node');
const excuse = join(root, 'build', 'not-built.txt');

try {
  const compiled = compile();
  mkdirSync(release, { recursive: true });
  // Renamed into place: a running program goes on with the file that it has mapped.
  const fresh = `${target}.${process.pid}`;
  copyFileSync(compiled, fresh);
  renameSync(fresh, target);
  rmSync(excuse, { force: true });
} catch (error) {
  if (!(error instanceof NotHere)) throw error;
  console.error(`@usrdrv/native: no addon: ${error.message}`);
  rmSync(release, { recursive: true, force: true });
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(excuse, error.message);
}
