import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { casesOf, RULES } from '@usrdrv/conformance';
import { BLOCK_SIZE } from '@usrdrv/drivers/edu';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** The command, bundled from the sources: a process starts with it in a tenth of the time. */
const main = fileURLToPath(new URL(`../temp/usrdrv-${process.pid}.mjs`, import.meta.url));
const running = new Set<ChildProcess>();
const { VITEST: _, NODE_OPTIONS: __, ...env } = process.env;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a process of its own. `lines`: closes its stdout after so many. */
function usrdrv(args: readonly string[], lines = Number.POSITIVE_INFINITY): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.split('\n').length > lines) child.stdout.destroy();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      running.delete(child);
      resolve({ code, stdout, stderr });
    });
  });
}

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'usrdrv-cli-'));
  await build({
    entryPoints: [fileURLToPath(new URL('main.ts', import.meta.url))],
    outfile: main,
    bundle: true,
    conditions: ['usrdrv-source'],
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // For packages that are not modules and ask for what Node brings.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
    },
    logLevel: 'error',
  });
});
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  for (const path of [folder, main]) rmSync(path, { recursive: true, force: true });
});

describe.concurrent('usrdrv', { timeout: 60_000 }, () => {
  test('--version is the one of the package', async () => {
    expect(await usrdrv(['--version'])).toEqual({ code: 0, stdout: '0.0.0\n', stderr: '' });
  });

  test('--help names the commands and exits 0', async () => {
    const { code, stdout, stderr } = await usrdrv(['--help']);
    expect(code).toBe(0);
    for (const command of ['lspci', 'demo', 'irq', 'conformance']) expect(stdout).toContain(command);
    expect(stderr).toBe('');
  });

  test.each([
    [[]],
    [['nonsense']],
    [['demo']],
    [['demo', 'edu', '--input']],
    [['demo', 'edu', '--kernel', '2.4']],
    [['lspci', 'more']],
    [['irq', '-1']],
    [['irq', '16', '--count', '1e3']],
    [['explore', '--scenario', 'nosuch']],
    [['replay', 'emu1:x:y:z']],
    [['bind']],
    [['bind', '0000:00:04']],
    [['bind', '0000:00:04.0', '--to', 'nvme']],
    [['unbind', '0000:00:04.0', '0000:00:05.0']],
    [['replay', 'emu1:usrdrv-6.1:nosuch:0']],
  ])('called wrongly (%j) it says how on stderr and exits 2', async (args) => {
    const { code, stdout, stderr } = await usrdrv(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/Usage: usrdrv|error: /);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test.each([
    [['demo', 'edu', '--input', '/does/not/exist'], 'ENOENT', '/does/not/exist'],
    [['demo', 'edu', '--input', tmpdir()], 'EISDIR', tmpdir()],
    [['demo', 'edu', '--kernel', 'chubb-2.6.11', '--msi'], 'ENOSYS', '0000:00:04.0'],
    [['irq', '500'], 'ENOENT', '/proc/irq/500/irq'],
    [['bind', 'fffe:ff:1f.7'], 'ENOENT', 'fffe:ff:1f.7'],
    [['unbind', 'fffe:ff:1f.7', '--json'], 'ENOENT', 'fffe:ff:1f.7'],
    [['lspci', '--backend', 'usrdrv'], 'ENODEV', '/proc/irq/N/irq'],
    [['demo', 'edu', '--backend', 'uio'], 'ENODEV', 'usrdrv bind ADDRESS --to uio_pci_generic'],
  ])('%j fails with one line that says what was wrong, and exits 1', async (args, code, what) => {
    const ended = await usrdrv(args);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^usrdrv: .*\n$/);
    expect(ended.stderr).toContain(code);
    expect(ended.stderr).toContain(what);
  });

  test.each(['usrdrv-6.1', 'chubb-2.6.11'])(
    'lspci shows ids, class, irq and BARs of each function on %s',
    async (kernel) => {
      const { code, stdout } = await usrdrv(['lspci', '--kernel', kernel]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^0000:00:04\.0 1234:11e8 class 00ff00 irq 16\n {4}BAR 0: memory at 0x[0-9a-f]{8}, 1 MiB/);
    },
  );

  test.each([0, 1, 4095, 4096, 4097, 16 * 1024 * 1024])('demo edu gives a file of %d bytes back', async (size) => {
    const bytes = randomBytes(size);
    const file = join(folder, `${size}`);
    writeFileSync(file, bytes);
    const { code, stdout, stderr } = await usrdrv(['demo', 'edu', '--input', file]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const hash = createHash('sha256').update(bytes).digest('hex');
    expect(stdout).toMatch(new RegExp(`^sent +${hash} .*\ncame back +${hash} +the same$`, 'm'));
    const interrupts = (2 * Math.ceil(size / BLOCK_SIZE)).toLocaleString('en-US');
    expect(stdout).toMatch(new RegExp(`^interrupts +${interrupts} taken$`, 'm'));
    expect(stdout).not.toContain('\x1b');
  });

  test.each([
    [[], ['raise', 'mask', 'count', 'wake', 'read', 'acknowledge', 'unmask']],
    [['--msi'], ['message', 'count', 'wake', 'read', 'acknowledge']],
    [
      ['--kernel', 'chubb-2.6.11'],
      ['raise', 'mask', 'count', 'wake', 'read', 'acknowledge', 'unmask'],
    ],
  ])('demo edu %j shows the life of the first interrupts', async (args, kinds) => {
    const { code, stdout } = await usrdrv(['demo', 'edu', ...args]);
    expect(code).toBe(0);
    expect(stdout).toContain('LICENSE');
    const shown = [...stdout.matchAll(/^ +[\d.]+ ms {2}(\S+)/gm)].map(([, kind]) => kind);
    expect(shown).toEqual(expect.arrayContaining(kinds));
  });

  test.each(['usrdrv-6.1', 'chubb-2.6.11'])('irq prints a line for each read, on %s', async (kernel) => {
    const { code, stdout } = await usrdrv(['irq', '16', '--count', '3', '--every', '50', '--kernel', kernel]);
    expect(code).toBe(0);
    const reads = stdout.split('\n').filter((line) => line.includes('total'));
    expect(reads.map((line) => line.trim())).toEqual([
      '0.050 s  irq 16  +1  total 1',
      '0.100 s  irq 16  +1  total 2',
      '0.150 s  irq 16  +1  total 3',
    ]);
    expect(stdout).toMatch(/^\/proc\/interrupts: 16: .*3/m);
  });

  test('doctor says of each thing whether it is there, and --json says the same', async () => {
    const [text, json] = await Promise.all([usrdrv(['doctor']), usrdrv(['doctor', '--json'])]);
    const { checks }: { checks: { id: string; state: string; found: string }[] } = JSON.parse(json.stdout);
    expect(checks.length).toBeGreaterThan(10);
    for (const { id, state, found } of checks) {
      expect(['ok', 'missing', 'not known']).toContain(state);
      expect(text.stdout).toContain(`${state.padEnd(9)}  ${id}`);
      expect(text.stdout).toContain(found);
    }
    expect(text.code).toBe(json.code);
  });

  test('a reader who has read enough ends it quietly', async () => {
    const { code, stderr } = await usrdrv(['irq', '16', '--count', '200000'], 2);
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });

  test.each(['usrdrv-6.1', 'chubb-2.6.11'] as const)(
    'conformance --json has a row for each rule of %s',
    async (kernel) => {
      const { code, stdout } = await usrdrv(['conformance', '--kernel', kernel, '--json']);
      const rows: { id: string; passed: number; failed: number; skipped: number; skips: { reason: string }[] }[] =
        JSON.parse(stdout);
      const ids = rows.map(({ id }) => id);
      expect(ids).toEqual([...new Set(casesOf(kernel).map(({ id }) => id))]);
      const rules = Object.entries(RULES).filter(([id, [, kernels]]) => /\d$/.test(id) && kernels.includes(kernel));
      expect(ids).toEqual(expect.arrayContaining(rules.map(([id]) => id)));
      expect(code).toBe(rows.some(({ failed }) => failed > 0) ? 1 : 0);
      for (const { skipped, skips } of rows) {
        expect(skips).toHaveLength(skipped);
        for (const { reason } of skips) expect(reason).not.toBe('');
      }
    },
  );
});
