// Compiles the addon, once for each content: the result is kept outside the checkout.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const require = createRequire(import.meta.url);
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'usrdrv', 'native');

/**
 * The path of the compiled addon.
 * @param defines gyp variables: `{ sanitize: 1 }`
 * @throws NotHere
 */
export function compile(defines = {}) {
  if (process.platform !== 'linux') throw new NotHere(`it runs on Linux, and this is ${process.platform}`);
  const missing = ['python3', 'make', 'g++'].filter((tool) => spawnSync(tool, ['--version']).error);
  if (missing.length > 0) throw new NotHere(`${missing.join(', ')} not installed`);

  const folder = join(cache, key(defines));
  const result = join(folder, 'usrdrv.node');
  if (existsSync(result)) return result;

  mkdirSync(folder, { recursive: true });
  inWorkFolder(folder, (work) => {
    const variables = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
    // Without headers beside Node this fetches them.
    nodeGyp(work, NotHere, 'configure', ...headers(), '--', ...variables);
    nodeGyp(work, Error, 'build', '--jobs=max', ...headers());
    renameSync(join(work, 'build', 'Release', 'usrdrv.node'), result);
  });
  return result;
}

/** What keeps the addon from being compiled lies with the machine. */
export class NotHere extends Error {}

function nodeGyp(cwd, Failure, ...args) {
  const program = require.resolve('node-gyp/bin/node-gyp.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Failure(`node-gyp ${args[0]} failed\n${stdout}${stderr}`);
}

/** Calls `run` with a copy of what the addon is made from: compiling empties the folder `build`, which is in use. */
export function inWorkFolder(parent, run) {
  const work = mkdtempSync(join(parent, 'work-'));
  try {
    cpSync(join(root, 'addon'), join(work, 'addon'), { recursive: true });
    cpSync(join(root, 'binding.gyp'), join(work, 'binding.gyp'));
    cpSync(join(root, 'package.json'), join(work, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'));
    run(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Node's own headers, where they were installed with it; else node-gyp fetches them. */
export function headers() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

function key(defines) {
  const hash = createHash('sha256').update(`${process.version} ${process.arch} ${JSON.stringify(defines)}`);
  hash.update(spawnSync('g++', ['--version'], { encoding: 'utf8' }).stdout);
  for (const tool of ['node-addon-api', 'node-gyp']) hash.update(require(`${tool}/package.json`).version);
  const sources = readdirSync(join(root, 'addon')).sort();
  for (const file of ['binding.gyp', ...sources.map((name) => join('addon', name))]) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex').slice(0, 32);
}
