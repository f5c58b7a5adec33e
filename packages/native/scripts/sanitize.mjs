// npm run test:sanitize: compiles the addon with AddressSanitizer and UndefinedBehaviorSanitizer and runs this package's
// tests on it. Any report is a failure.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compile, root } from './compile.mjs';

const workspace = dirname(dirname(root));
const scratch = mkdtempSync(join(tmpdir(), 'usrdrv-sanitize-'));
try {
  mkdirSync(join(scratch, 'build', 'Release'), { recursive: true });
  symlinkSync(compile({ sanitize: 1 }), join(scratch, 'build', 'Release', 'usrdrv.node'));
  const reports = join(scratch, 'report');
  const options = `log_path=${reports}:log_exe_name=1`;
  const { status } = spawnSync(
    join(workspace, 'node_modules', '.bin', 'vitest'),
    // Processes take several times as long to start, and each test of how one ends has a limit.
    ['run', 'packages/native', '--typecheck.enabled=false', '--maxConcurrency=2', ...process.argv.slice(2)],
    {
      cwd: workspace,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        // Where node-gyp-build looks in place of this package.
        '@USRDRV/NATIVE_PREBUILD': scratch,
        LD_PRELOAD: ['libasan.so', 'libubsan.so'].map(library).join(' '),
        // What Node itself keeps until it ends is no leak.
        ASAN_OPTIONS: `${options}:detect_leaks=0`,
        UBSAN_OPTIONS: `${options}:print_stacktrace=1:halt_on_error=1`,
      },
    },
  );
  process.exitCode = status ?? 1;
  for (const report of readdirSync(scratch).filter((name) => name.startsWith('report'))) {
    console.error(readFileSync(join(scratch, report), 'utf8'));
    process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function library(name) {
  return spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
}
