// npm test: sets up, builds, and runs every check. Ends with `N passed, N failed`: vitest's tests, and each other check
// as one.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, install, root, toolEnv, turbo } from './setup.mjs';

const testLimitMs = 15 * 60_000;
const reports = join(root, 'node_modules', '.cache', 'usrdrv');

const checks = [
  check('build', () => build()),
  check('types', () => tool('tsc', ['-p', 'tsconfig.json', ...incremental('types')])),
  check('types without Node', () => tool('tsc', ['-p', 'tsconfig.portable.json', ...incremental('portable')])),
  tests,
  check('style', () => tool('biome', ['check', '.'])),
  check('imports', () => tool('depcruise', ['--config', '.dependency-cruiser.cjs', 'packages', 'examples', 'test'])),
  check('unused', () => tool('knip', ['--no-config-hints'])),
  check('tarballs', () => turbo('tarball')),
];

try {
  install();
  mkdirSync(reports, { recursive: true });
  let passed = 0;
  let failed = 0;
  for (const run of checks) {
    const result = run();
    passed += result.passed;
    failed += result.failed;
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  console.error(`npm test: ${error.message}`);
  console.log('\n0 passed, 1 failed');
  process.exitCode = 1;
}

/** A check that counts as one and says nothing but how long it took, until it fails. */
function check(name, run) {
  return () => {
    const start = performance.now();
    process.stdout.write(`${name} … `);
    try {
      run();
      console.log(`ok (${seconds(start)})`);
      return { passed: 1, failed: 0 };
    } catch (error) {
      console.log(`FAILED (${seconds(start)})\n${error.message}`);
      return { passed: 0, failed: 1 };
    }
  };
}

/** vitest shows its own progress; its report gives the numbers. */
function tests() {
  console.log('tests');
  const report = join(reports, 'tests.json');
  rmSync(report, { force: true });
  const { status, error } = spawnSync(
    'vitest',
    ['run', '--passWithNoTests', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    {
      cwd: root,
      env: toolEnv,
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
      timeout: testLimitMs,
      killSignal: 'SIGKILL',
    },
  );
  let result;
  try {
    result = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    console.error(
      error?.code === 'ETIMEDOUT'
        ? 'vitest did not end: some test loops; `npx vitest run --reporter=verbose` shows which file is missing'
        : 'vitest left no report',
    );
    return { passed: 0, failed: 1 };
  }
  // A file that cannot be loaded has failed without a failed test in it.
  const broken = result.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = result.numFailedTests + broken;
  // vitest can fail beside its tests too: an unhandled rejection, a type error in a type test.
  return { passed: result.numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

function tool(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    env: toolEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${stdout}${stderr}`.trimEnd() || `${command} exited with ${status}`);
}

function incremental(name) {
  return ['--incremental', '--tsBuildInfoFile', join(reports, `${name}.tsbuildinfo`)];
}

function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
