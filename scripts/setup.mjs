// Setup with nothing but Node and npm: pnpm comes through npx, in the version that package.json pins, and turbo builds.
// Uses no package itself, because it runs before there are any.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const cacheHome = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const bin = join(root, 'node_modules', '.bin');

/** What every tool runs with: the workspace's own binaries first, caches outside the checkout, no phoning home. */
export const toolEnv = {
  ...process.env,
  PATH: `${bin}${delimiter}${process.env.PATH}`,
  TURBO_CACHE_DIR: join(cacheHome, 'usrdrv', 'turbo'),
  TURBO_TELEMETRY_DISABLED: '1',
  DO_NOT_TRACK: '1',
};

/** The folders that hold a package.json: the root, each package, the examples. */
export function packageFolders() {
  const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name));
  return [root, ...packages, join(root, 'examples')].filter((folder) => existsSync(join(folder, 'package.json')));
}

/** Installs what the lockfile names, unless what is installed still fits it and every package.json. */
export function install() {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const stamp = join(root, 'node_modules', '.usrdrv-installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs()) return;

  console.error(`Installing packages (${manifest.packageManager}) …`);
  const { status, error } = spawnSync('npx', ['--yes', manifest.packageManager, 'install', '--prefer-offline'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: process.env,
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`pnpm install failed${error ? `: ${error.message}` : ''}`);
  writeFileSync(stamp, inputs());
}

function inputs() {
  const hash = createHash('sha256').update(process.version);
  for (const file of [
    ...packageFolders().map((folder) => join(folder, 'package.json')),
    join(root, 'pnpm-workspace.yaml'),
    join(root, 'pnpm-lock.yaml'),
  ]) {
    hash.update(file).update(existsSync(file) ? readFileSync(file) : '');
  }
  return hash.digest('hex');
}

/** Builds every package. */
export function build() {
  turbo('build');
}

/** Runs a task of every package that has it; turbo skips what did not change since it last passed. */
export function turbo(task) {
  const { status, stdout, stderr, error } = spawnSync(
    'turbo',
    ['run', task, '--output-logs=errors-only', '--continue=dependencies-successful'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      env: toolEnv,
      shell: process.platform === 'win32',
    },
  );
  if (error) throw error;
  if (status !== 0) throw new Error(`${task} failed\n${stdout}${stderr}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    install();
    console.error('Building …');
    build();
  } catch (error) {
    console.error(`setup: ${error.message}`);
    process.exitCode = 1;
  }
}
