import type { IrqSource } from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';
import { WRONG_NUMBERS } from '../wrong.ts';
import { openEdu } from './driver-pci.ts';

/** IrqSource, and L: the one meaning that it gives to every line and vector. */
export const driverIrqCases: readonly Case[] = [
  {
    id: 'L',
    level: 'driver',
    title: 'a read resolves with the interrupts since the last one, at least 1',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      for (let round = 0; round < 3; round++) {
        const read = await t.sleeps(irq.read(), 'read');
        await t.edu.raise(1);
        t.equal(await read.ends(), 1, 'the count');
        await t.edu.acknowledge(1);
      }
    },
  },
  {
    id: 'L',
    level: 'driver',
    title: 'the line is masked from the moment it fires until the next wait',
    needs: ['edu', 'intx', 'masked-line'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      const read = await t.sleeps(irq.read(), 'read');
      const before = t.taken(irq.line);
      await t.edu.raise(1);
      await read.ends();
      for (let assertion = 0; assertion < 3; assertion++) {
        await t.edu.acknowledge(1);
        await t.edu.raise(1);
      }
      t.equal(t.taken(irq.line) - before, 1, 'interrupts taken without a wait');
      t.equal(await t.soon(irq.read(), 'read'), 1, 'the next read, with the level asserted');
      t.equal(t.taken(irq.line) - before, t.asksDeviceAtUnmask ? 1 : 2, 'interrupts taken after it');
    },
  },
  {
    id: 'L',
    level: 'driver',
    title: 'a level that stays asserted interrupts once for each wait: no storm',
    needs: ['edu', 'intx', 'masked-line'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      await t.edu.raise(1);
      const before = t.taken(irq.line);
      for (let round = 0; round < 5; round++) t.equal(await t.soon(irq.read(), 'read'), 1, 'the count');
      const taken = t.taken(irq.line) - before;
      const [least, most] = t.asksDeviceAtUnmask ? [0, 1] : [4, 5];
      t.ok(taken >= least && taken <= most, `${least} or ${most} interrupts taken for 5 reads, not ${taken}`);
    },
  },
  {
    id: 'L',
    level: 'driver',
    title: 'an MSI vector means the same: one count a wait, messages collapse while it is masked',
    needs: ['edu', 'msi', 'masked-vectors'],
    async run(t) {
      const irq = openEdu(t).irq(0);
      const read = await t.sleeps(irq.read(), 'read');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
      await t.edu.acknowledge(1);
      for (let message = 0; message < 3; message++) {
        await t.edu.raise(1);
        await t.edu.acknowledge(1);
      }
      t.equal(await t.soon(irq.read(), 'read'), 1, 'the count of the messages that came meanwhile');
      await (await t.sleeps(irq.read(), 'read')).sleepsOn('the next read');
    },
  },
  {
    id: 'L',
    level: 'driver',
    title: 'a vector that is not masked counts each message',
    needs: ['edu', 'msi', 'counted-messages'],
    async run(t) {
      const irq = openEdu(t).irq(0);
      const read = await t.sleeps(irq.read(), 'read');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
      for (let message = 0; message < 3; message++) {
        await t.edu.acknowledge(1);
        await t.edu.raise(1);
      }
      t.equal(await t.soon(irq.read(), 'read'), 3, 'the count of the messages that came meanwhile');
      await (await t.sleeps(irq.read(), 'read')).sleepsOn('the next read');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'line is the number of its irq file',
    needs: ['edu', 'intx'],
    run(t) {
      t.equal(openEdu(t).irq().line, t.edu.irq, 'line');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'tryRead takes the count, or is undefined and unmasks',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      t.equal(irq.tryRead(), undefined, 'before');
      await t.edu.raise(1);
      t.equal(irq.tryRead(), 1, 'with a count');
      await t.edu.acknowledge(1);
      t.equal(irq.tryRead(), undefined, 'after it');
      await t.edu.raise(1);
      t.equal(irq.tryRead(), 1, 'with the next count');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'poll says whether there is a count, and leaves it there',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      t.equal(await t.soon(irq.poll({ timeoutMs: 0 }), 'poll'), false, 'poll without waiting');
      t.equal(await t.soon(irq.poll({ timeoutMs: 5 }), 'poll'), false, 'poll for 5 ms');
      const poll = await t.sleeps(irq.poll(), 'poll');
      await t.edu.raise(1);
      t.equal(await poll.ends(), true, 'poll with an interrupt');
      t.equal(await t.soon(irq.poll(), 'poll'), true, 'poll again');
      t.equal(await t.soon(irq.read(), 'read'), 1, 'the count');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'poll refuses a timeout that is no time',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      for (const timeoutMs of [-1, Number.NaN, '1', null]) {
        await t.rejects('RangeError', `timeout ${timeoutMs}`, () => irq.poll({ timeoutMs: timeoutMs as number }));
      }
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'of two concurrent reads each interrupt is counted by exactly one',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      const counts: number[] = [];
      const reads = [irq.read(), irq.read()].map((read) => read.then((count) => counts.push(count)));
      await t.sleeps(Promise.all(reads), 'two reads');
      await t.edu.raise(1);
      await t.soon(Promise.race(reads), 'one read');
      await t.edu.acknowledge(1);
      await t.kernel.clock.sleep(5);
      await t.edu.raise(1);
      await t.soon(Promise.all(reads), 'both reads');
      t.equal(counts, [1, 1], 'counts');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'a signal calls a read off with its reason, and no count is lost',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      const abort = new AbortController();
      const reason = new RangeError('enough');
      const read = irq.read({ signal: abort.signal });
      await t.sleeps(read, 'read');
      abort.abort(reason);
      t.equal(
        await t.soon(
          read.catch((error: unknown) => error),
          'read',
        ),
        reason,
        'what it rejects with',
      );
      await t.rejects('RangeError', 'a read whose signal is aborted already', () => irq.read({ signal: abort.signal }));
      await t.rejects('RangeError', 'a poll whose signal is aborted already', () => irq.poll({ signal: abort.signal }));
      await t.edu.raise(1);
      t.equal(await t.soon(irq.read(), 'read'), 1, 'the next read');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'closing rejects who waits with EBADF, and the line is free',
    needs: ['edu'],
    async run(t) {
      const device = openEdu(t);
      const irq = t.irqOf(device);
      const waits = [irq.read(), irq.read(), irq.poll()];
      const outcomes = Promise.allSettled(waits);
      await t.sleeps(Promise.race(waits), 'reads and a poll');
      irq.close();
      for (const outcome of await t.soon(outcomes, 'reads and a poll')) {
        t.ok(outcome.status === 'rejected', 'a wait was rejected');
        if (outcome.status === 'rejected') t.throws('EBADF', 'a wait', () => raiseAgain(outcome.reason));
      }
      await t.kernel.clock.sleep(5);
      t.irqOf(device).close();
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'after close every call is EBADF, and closing again does nothing',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      irq.close();
      irq.close();
      irq[Symbol.dispose]();
      await t.rejects('EBADF', 'read', () => irq.read());
      await t.rejects('EBADF', 'poll', () => irq.poll());
      t.throws('EBADF', 'tryRead', () => irq.tryRead());
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'what is closed stays closed when another source takes its descriptor',
    needs: ['edu', 'intx'],
    async run(t) {
      const closed = t.backend.openIrq(t.edu.irq);
      closed.close();
      const open = t.backend.openIrq(t.edu.irq);
      await t.edu.raise(1);
      t.throws('EBADF', 'tryRead of the closed one', () => closed.tryRead());
      await t.rejects('EBADF', 'poll of the closed one', () => closed.poll({ timeoutMs: 0 }));
      t.equal(open.tryRead(), 1, 'the count of the other');
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'iterating yields each count, and ends when it is closed',
    needs: ['edu'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      const counts: number[] = [];
      const loop = iterate(t, irq, counts);
      for (let round = 0; round < 3; round++) {
        await t.kernel.clock.sleep(5);
        await t.edu.raise(1);
        await t.kernel.clock.sleep(5);
        await t.edu.acknowledge(1);
      }
      irq.close();
      await t.soon(loop, 'the loop');
      t.ok(counts.length >= 3, `at least 3 counts, not ${counts.length}`);
      t.ok(
        counts.every((count) => count === 1),
        'each is 1',
      );
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'a device that is pulled out rejects who waits with ENODEV',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'unplug'],
    async run(t) {
      const irq = t.irqOf(openEdu(t));
      const read = irq.read();
      await t.sleeps(read, 'read');
      await t.bench.unplug?.(t.edu.address);
      await t.rejects('ENODEV', 'the read', () => read);
    },
  },
  {
    id: 'IrqSource',
    level: 'driver',
    title: 'a line that is no line is refused',
    needs: ['edu', 'intx'],
    run(t) {
      for (const line of WRONG_NUMBERS) {
        t.throws('RangeError', `line ${String(line)}`, () => t.backend.openIrq(line as number));
      }
      t.throws('ENOENT', 'a line that does not exist', () => t.backend.openIrq(9999));
      const irq = t.backend.openIrq(t.edu.irq);
      t.throws('EBUSY', 'a line that is open', () => t.backend.openIrq(t.edu.irq));
      irq.close();
      t.backend.openIrq(t.edu.irq).close();
    },
  },
];

async function iterate(t: Context, irq: IrqSource, counts: number[]): Promise<void> {
  for await (const count of irq) {
    counts.push(count);
    await t.edu.acknowledge(1);
  }
}

function raiseAgain(reason: unknown): never {
  throw reason;
}
