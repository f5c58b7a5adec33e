import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { O_NONBLOCK } from '@usrdrv/core';
import { describe, expect } from 'vitest';
import { counter, sleepsOn, test } from './addon.fixture.ts';
import { addon, turnOf } from './addon.ts';

const run = promisify(execFile);
/** Of a module on the sources. */
const FLAGS = ['--conditions=usrdrv-source', '--import', 'tsx', '--input-type=module', '-e'];
const root = fileURLToPath(new URL('..', import.meta.url));

/** What else an event loop does. */
const OTHERS = {
  'a timer': () => delay(5),
  'an immediate': () => immediate(),
  'a file, read in another thread': () => readFile(fileURLToPath(import.meta.url)),
  'another process': () => run('true'),
  'a worker': () => once(new Worker('', { eval: true }), 'exit'),
  'a connection': async () => {
    const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await once(connect(port, '127.0.0.1').resume(), 'close');
    server.close();
  },
} as const satisfies Readonly<Record<string, () => Promise<unknown>>>;

describe('a thread that sleeps for one call alone', () => {
  test.for(Object.keys(OTHERS) as (keyof typeof OTHERS)[])('does %s meanwhile, and goes on sleeping', async (other) => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const raise = () => add(1n);
    const call = thread.waitForCount(fd, 8);
    for (let round = 0; round < 3; round++) await OTHERS[other]();
    expect(await sleepsOn(call)).toBe(true);
    await raise();
    expect(await call).toBe(1);
    // Begun while it sleeps, by what it is woken for.
    const next = Promise.resolve(thread.waitForCount(fd, 8)).then(() => OTHERS[other]());
    setTimeout(raise, 5);
    await next;
    thread.close(fd);
  });

  test('wakes for each of many, with ticks and microtasks in between', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const raise = () => add(1n);
    const ticks: number[] = [];
    const timer = setInterval(raise, 1);
    for (let count = 0; count < 50; count++) {
      expect(await thread.waitForCount(fd, 8)).toBeGreaterThan(0);
      await new Promise<void>((resolve) => process.nextTick(resolve));
      queueMicrotask(() => ticks.push(count));
    }
    clearInterval(timer);
    await immediate();
    expect(ticks).toEqual(Array.from({ length: 50 }, (_, nth) => nth));
    thread.close(fd);
  });

  test('is woken by the event loop where its turn does not sleep, sleeps twice, or is another one', async () => {
    const { thread, fd, add } = counter(O_NONBLOCK);
    const raise = () => add(1n);
    const native = addon();
    const usual = turnOf(native);
    const twice = (done: (result: number) => void): void => {
      usual(done);
      expect(native.sleep()).toBe(undefined);
    };
    const other = (done: (result: number) => void): void => {
      native.sleepBy(usual);
      usual(done);
    };
    try {
      for (const turn of [() => undefined, twice, other]) {
        native.sleepBy(turn);
        const call = thread.waitForCount(fd, 8);
        expect(await sleepsOn(call)).toBe(true);
        setTimeout(raise, 5);
        expect(await call).toBe(1);
      }
    } finally {
      native.sleepBy(usual);
    }
    thread.close(fd);
  });

  // Two processes start, on a machine that runs other tests.
  test('does not where somebody else sleeps for the event loop, as in Electron', { timeout: 60_000 }, async () => {
    const program = (electron: boolean): string => `
      ${electron ? "Object.defineProperty(process.versions, 'electron', { value: '0' });" : ''}
      const { addon } = await import('./src/addon.ts');
      const native = addon();
      const { sleep } = native;
      native.sleep = () => { console.log('slept'); return sleep(); };
      const fd = native.eventfd(0, 0);
      const call = native.waitForCount(fd, 8, () => undefined);
      // The loop sleeps by itself once: it takes in what it has to watch.
      setTimeout(() => setTimeout(() => native.interrupt(call), 10), 10);`;
    expect((await run(process.execPath, [...FLAGS, program(true)], { cwd: root })).stdout).toBe('');
    expect((await run(process.execPath, [...FLAGS, program(false)], { cwd: root })).stdout).toContain('slept');
  });
});
