// The package's install script: takes the prebuilt addon where there is one for this machine, else compiles it. A machine
// that can do neither still gets the package; using it says what is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// With its sources beside it this is the repository, where the build script does it.
if (!existsSync(join(root, 'src')) && !hasAddon()) {
  const builder = createRequire(import.meta.url).resolve('node-gyp-build/bin.js');
  const { status } = spawnSync(process.execPath, [builder], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error('@usrdrv/native: no prebuilt addon fits this machine, and it could not be compiled here.');
    console.error('@usrdrv/native: with python3, make and g++ installed, `npm rebuild @usrdrv/native` compiles it.');
  }
}

function hasAddon() {
  try {
    createRequire(import.meta.url)('node-gyp-build').path(root);
    return true;
  } catch {
    return false;
  }
}
