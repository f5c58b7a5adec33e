import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect } from 'vitest';
import { test } from './addon.fixture.ts';

const program = fileURLToPath(new URL('../test/life.mjs', import.meta.url));

/** What a thread can be in the middle of; test/life.mjs has the code. */
const STAGES = [
  'loaded',
  'open',
  'mapped',
  'bytes',
  'unmapped bytes',
  'mmio',
  'polled',
  'polling',
  'asleep for one call alone',
  'epoll waiting',
  'reading',
  'interrupted reading',
  'writing',
  'interrupted writing',
  'reading in this thread',
  'wake-ups on their way',
] as const;

/** Those of them that keep a thread alive: somebody waits for the result. */
const WAITS = new Set<string>([
  'polling',
  'asleep for one call alone',
  'epoll waiting',
  'reading',
  'writing',
  'reading in this thread',
  'wake-ups on their way',
]);

const LIMIT_MS = 30_000;

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

function start(...args: string[]): ChildProcess {
  return fork(program, args, { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stderr = '';
  child.stderr?.on('data', (data) => {
    stderr += data;
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(limit);
  return { code, signal, stderr };
}

describe.concurrent('a process ends cleanly, with nothing closed,', () => {
  for (const stage of STAGES) {
    test(`when ${stage}`, { timeout: 2 * LIMIT_MS }, async ({ expect }) => {
      // A thread that sleeps in the kernel gets to no end of its own.
      const sleeps = stage === 'reading in this thread';
      if (!WAITS.has(stage)) expect(await ended(start(stage, 'by itself'))).toMatchObject({ code: 0, stderr: '' });
      if (!sleeps) expect(await ended(start(stage, 'process.exit'))).toMatchObject({ code: 0, stderr: '' });
      if (!sleeps) {
        const thrown = await ended(start(stage, 'an uncaught exception'));
        expect(thrown).toMatchObject({ code: 1, signal: null });
        expect(thrown.stderr).toContain('on purpose');
      }
      const child = start(stage, 'from outside');
      child.once('message', () => child.kill('SIGTERM'));
      expect(await ended(child)).toMatchObject({ code: null, signal: 'SIGTERM', stderr: '' });
    });
  }
});

describe.concurrent('a worker leaves no descriptor and no thread behind, however it ends,', () => {
  for (const stage of STAGES) {
    test(`when ${stage}`, { timeout: 2 * LIMIT_MS }, async ({ expect }) => {
      expect(await ended(start('in-workers', stage))).toEqual({ code: 0, signal: null, stderr: '' });
    });
  }
});

test('these are all the stages that the program knows', async () => {
  const child = start('stages');
  const [stages] = await once(child, 'message');
  expect(stages).toEqual([...STAGES]);
});
