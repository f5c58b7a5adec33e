import {
  EBADF,
  EINTR,
  EINVAL,
  F_SETFL,
  O_NONBLOCK,
  O_WRONLY,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDNORM,
  type PollFd,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';

/** P10: select and poll. */
export const pollCases: readonly Case[] = [
  {
    id: 'P10',
    level: 'syscall',
    title: 'poll says IN and RDNORM when there is a count, and nothing else',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const all = POLLIN | POLLRDNORM | POLLOUT;
      t.equal(await t.poll(fd, all), 0, 'before');
      await t.edu.raise(1);
      t.equal(await t.poll(fd, all), POLLIN | POLLRDNORM, 'with a count');
      t.equal(await t.poll(fd, POLLRDNORM), POLLRDNORM, 'asked for RDNORM');
      t.equal(await t.poll(fd, POLLOUT), 0, 'asked for OUT');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a poll without waiting unmasks the line, whatever it asks for',
    needs: ['edu'],
    async run(t) {
      for (const events of [POLLIN, POLLOUT, 0]) {
        const fd = await masked(t);
        t.equal(await t.poll(fd, events), 0, 'poll');
        await t.edu.raise(1);
        t.equal(await t.count(fd), 1, 'the count');
        await t.edu.acknowledge(1);
        t.result(t.thread.close(fd), 0, 'close');
      }
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a level that fires while poll unmasks is seen by the same poll',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      await t.edu.raise(1);
      t.equal(await t.pollLetThrough(fd, POLLIN), POLLIN, 'poll');
      t.equal(await t.count(fd), 1, 'the count');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a sleeping poll is woken by the interrupt',
    needs: ['edu'],
    async run(t) {
      const fds: PollFd[] = [{ fd: await masked(t), events: POLLIN, revents: 0 }];
      const poll = await t.sleeps(t.thread.poll(fds, -1), 'poll');
      await t.edu.raise(1);
      t.result(await poll.ends(), 1, 'poll');
      t.equal(fds[0]?.revents, POLLIN, 'revents');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'poll returns 0 when the time is up, and not before',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const before = t.kernel.clock.now();
      t.result(await t.thread.poll([{ fd, events: POLLIN, revents: 0 }], 50), 0, 'poll');
      const passed = t.kernel.clock.now() - before;
      t.ok(passed >= 50_000_000n, `50 ms have passed (${passed} ns)`);
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a poll whose count somebody else took unmasks again',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      t.result(t.thread.fcntl(fd, F_SETFL, 0), 0, 'F_SETFL');
      const fds: PollFd[] = [{ fd, events: POLLIN, revents: 0 }];
      const read = await t.sleeps(t.startCount(fd), 'read');
      const poll = t.thread.poll(fds, -1);
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
      await t.edu.acknowledge(1);
      await t.kernel.clock.sleep(5);
      // The poll may have looked before the read took the count; if not, it sleeps with the line unmasked.
      await t.edu.raise(1);
      t.result(await t.soon(poll, 'poll'), 1, 'poll');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'poll says NVAL for what is not open, passes over descriptors below 0, and counts the entries with events',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      await t.edu.raise(1);
      const fds: PollFd[] = [
        { fd: -1, events: POLLIN, revents: 0x7f },
        { fd: 1000, events: POLLIN, revents: 0 },
        { fd, events: POLLIN, revents: 0 },
        { fd, events: POLLIN, revents: 0 },
      ];
      t.result(await t.thread.poll(fds, 1000), 3, 'poll');
      t.equal(
        fds.map(({ revents }) => revents),
        [0, POLLNVAL, POLLIN, POLLIN],
        'revents',
      );
      t.equal(await t.count(fd), 1, 'the count, which poll does not take');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a descriptor that is open for writing only is polled as well',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_WRONLY);
      await t.edu.raise(1);
      t.equal(await t.poll(fd, POLLIN), POLLIN, 'poll');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'select leaves the ready descriptors in the sets, and unmasks as poll does',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      t.equal(await t.select([fd]), new Set(), 'select before');
      await t.edu.raise(1);
      t.equal(await t.select([fd]), new Set([fd]), 'select with a count');
      const sets = { read: new Set([fd]), write: new Set([fd]), except: new Set([fd]) };
      t.result(await t.thread.select(sets, 0), 1, 'select in all sets');
      t.equal([sets.read.size, sets.write.size, sets.except.size], [1, 0, 0], 'sizes of the sets');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a sleeping select is woken by the interrupt',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      const select = await t.sleeps(t.select([fd], 10_000), 'select');
      await t.edu.raise(1);
      t.equal(await select.ends(), new Set([fd]), 'select');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'select of a descriptor that is not open is EBADF, and unmasks nothing',
    needs: ['edu'],
    async run(t) {
      const fd = await masked(t);
      t.result((await t.select([fd, 1000])) as number, -EBADF, 'select');
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 0, 'interrupts taken');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'an interrupted poll returns EINTR, and a later one works',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const abort = new AbortController();
      const fds = [{ fd, events: POLLIN, revents: 0 }];
      const poll = await t.sleeps(t.thread.poll(fds, -1, { signal: abort.signal }), 'poll');
      abort.abort();
      t.result(await poll.ends(), -EINTR, 'poll');
      await t.edu.raise(1);
      t.equal(await t.poll(fd, POLLIN), POLLIN, 'the next poll');
    },
  },
  {
    id: 'P10',
    level: 'syscall',
    title: 'a negative timeout of select is EINVAL',
    needs: ['edu'],
    async run(t) {
      t.result((await t.select([t.openIrq()], -1)) as number, -EINVAL, 'select');
    },
  },
];

/** A non-blocking descriptor of a line that is masked, with no count and nothing asserted. */
export async function masked(t: Context): Promise<number> {
  const fd = t.openIrq(O_NONBLOCK);
  await t.edu.raise(1);
  t.equal(await t.count(fd), 1, 'the count that masks the line');
  await t.edu.acknowledge(1);
  return fd;
}
