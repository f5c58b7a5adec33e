// Compiles the addon for publishing, into prebuilds/: for this processor, any Node from 20 on, and this machine's C library.
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { headers, inWorkFolder, root } from './compile.mjs';

const prebuildify = dirname(createRequire(import.meta.url).resolve('prebuildify/package.json'));
const [nodedir] = headers();

inWorkFolder(tmpdir(), (work) => {
  const { status } = spawnSync(
    process.execPath,
    [join(prebuildify, 'bin.js'), '--napi', '--strip', '--tag-libc', `--target=${process.versions.node}`],
    {
      cwd: work,
      stdio: 'inherit',
      env: {
        ...process.env,
        PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`,
        ...(nodedir && { npm_config_nodedir: nodedir.split('=')[1] }),
      },
    },
  );
  if (status === 0) cpSync(join(work, 'prebuilds'), join(root, 'prebuilds'), { recursive: true });
  process.exitCode = status ?? 1;
});
