import { EBUSY, EINTR, EPERM, SIGKILL } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { memory, PROFILES, Setup } from './kernel.fixture.ts';
import type { Thread } from './syscalls.ts';

function alive(thread: Thread | number): Thread {
  if (typeof thread === 'number') throw new Error(`no thread: ${thread}`);
  return thread;
}

describe.each(PROFILES)('%s', (profile) => {
  test.each(['exit', 'kill -9'])('P8 %s with tasks asleep frees the line, the files and the memory', async (how) => {
    const s = new Setup(profile);
    const before = s.machine.memory.freeFrames;
    const process = s.kernel.spawn({ comm: 'driver' });
    const { thread } = process;
    const buf = memory(thread);
    const fd = s.thread.process === process ? -1 : thread.open('/proc/irq/17/irq', 0);
    const other = alive(thread.clone());
    const sleeping = [
      thread.read(fd, buf, 4),
      thread.read(fd, buf, 4),
      other.poll([{ fd, events: 1, revents: 0 }], -1),
      other.select({ read: new Set([fd]) }, 1000),
    ];
    expect(sleeping.every((call) => call instanceof Promise)).toBe(true);
    if (how === 'exit') thread.exitGroup(0);
    else expect(s.thread.kill(process, SIGKILL)).toBe(0);
    // At once, before anybody awaits anything.
    expect(s.kernel.fileTable.count).toBe(0);
    expect(s.machine.memory.freeFrames).toBe(before);
    expect(s.machine.chip.isMasked(17)).toBe(true);
    expect(s.thread.open('/proc/irq/17/irq', 0)).toBe(0);
    expect(await Promise.all(sleeping)).toEqual([-EINTR, -EINTR, -EINTR, -EINTR]);
    expect(s.kernel.processes.has(process)).toBe(false);
  });

  test('P8 fork shares the line: it is free when parent and child have let go', async () => {
    const s = new Setup(profile);
    const fd = s.open();
    const child = alive(s.thread.fork());
    expect(child.process.pid).not.toBe(s.thread.process.pid);
    expect(s.thread.close(fd)).toBe(0);
    expect(s.open()).toBe(-EBUSY);
    const reading = child.read(fd, s.buf, 4);
    s.interrupt();
    expect(await reading).toBe(4);
    expect(child.process.bytes(s.buf, 4)[0]).toBe(1);
    expect(s.count).toBe(0);
    child.exitGroup(0);
    expect(s.open()).toBe(0);
  });

  test('a fork that finds no memory fails, and leaves nothing behind', () => {
    let failures = 0;
    const oracle = {
      asksAtSteps: false,
      choose: (_n: number, tag: string) => ((tag === 'alloc.fail' ? failures-- > 0 : false) ? 1 : 0),
    };
    const s = new Setup(profile, { oracle });
    s.open();
    failures = 1;
    expect(s.thread.fork()).toBe(-12);
    expect(s.kernel.processes.size).toBe(1);
    expect(s.thread.fork()).not.toBe(-12);
  });

  test('a process of another user can neither open the file nor signal root', () => {
    const s = new Setup(profile);
    const { thread } = s.kernel.spawn({ uid: 1000 });
    expect(thread.open('/proc/irq/16/irq', 0)).toBe(-13);
    expect(thread.kill(s.thread, SIGKILL)).toBe(-EPERM);
  });

  test('P6 the line is claimed under the command name, of which 15 bytes count', () => {
    const s = new Setup(profile);
    const { thread } = s.kernel.spawn({ comm: 'a-command-of-many-letters' });
    thread.open('/proc/irq/16/irq', 0);
    expect(new TextDecoder().decode(s.kernel.files.readFileSync('/proc/interrupts'))).toMatch(/ {2}a-command-of-ma\n/);
  });

  test('disposing of the kernel ends every process', () => {
    const s = new Setup(profile);
    s.open();
    alive(s.thread.fork());
    s.kernel[Symbol.dispose]();
    expect(s.kernel.processes.size).toBe(0);
    expect(s.kernel.fileTable.count).toBe(0);
  });
});
