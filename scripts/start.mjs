// npm start: sets up, builds, and sends a file through the edu device. `npm start -- --input FILE` passes arguments on.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { build, install, root } from './setup.mjs';

try {
  install();
  console.error('Building …');
  build();
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'packages/cli/bin/usrdrv.js'), 'demo', 'edu', ...process.argv.slice(2)],
    // npm runs scripts in the root; a relative FILE is meant from where npm was called.
    { stdio: 'inherit', cwd: process.env.INIT_CWD ?? root },
  );
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(`npm start: ${error.message}`);
  process.exitCode = 1;
}
