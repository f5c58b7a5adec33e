// npm run test:vm: the real kernel in QEMU, and the emulated one held against it. Ends with `N passed, N failed`.
// `npm run test:vm -- --help` says what else it takes.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { install, root, toolEnv } from './setup.mjs';

try {
  install();
  const main = join(root, 'packages', 'testbed', 'src', 'main.ts');
  const flags = ['--conditions=usrdrv-source', '--import', 'tsx'];
  const { status } = spawnSync(process.execPath, [...flags, main, ...process.argv.slice(2)], {
    cwd: root,
    env: toolEnv,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(`npm run test:vm: ${error.message}`);
  console.log('\n0 passed, 1 failed');
  process.exitCode = 1;
}
