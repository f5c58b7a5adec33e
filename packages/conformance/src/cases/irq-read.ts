import {
  EAGAIN,
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  O_NONBLOCK,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  PROT_READ,
  SA_RESTART,
  SIGUSR1,
  virtualAddress,
} from '@usrdrv/core';
import type { Case } from '../case.ts';
import { at } from '../context.ts';

/** No process can map anything here. */
const KERNEL_MEMORY = virtualAddress(0xffff_8000_0000_0000n);
const INT_MAX = 0x7fff_ffff;

/** P1 to P4: what a read of /proc/irq/N/irq returns, and what it refuses. */
export const irqReadCases: readonly Case[] = [
  {
    id: 'P1',
    level: 'syscall',
    title: 'a descriptor that is not open is EBADF',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      t.result(t.thread.close(fd), 0, 'close');
      const buf = t.memory();
      for (const bad of [fd, -1, 1_000_000, 0x7fff_ffff]) {
        t.result(await t.thread.read(bad, buf, 4), -EBADF, `read of descriptor ${bad}`);
      }
    },
  },
  {
    id: 'P1',
    level: 'syscall',
    title: 'a bad descriptor is found before a bad buffer, and a bad buffer before a bad length',
    needs: ['edu'],
    async run(t) {
      t.result(await t.thread.read(-1, KERNEL_MEMORY, 2), -EBADF, 'bad descriptor, buffer and length');
      const fd = t.openIrq(O_NONBLOCK);
      t.result(await t.thread.read(fd, KERNEL_MEMORY, 2), -EFAULT, 'bad buffer and length');
      t.result(await t.thread.read(fd, t.memory(), 2), -EINVAL, 'bad length');
    },
  },
  {
    id: 'P1',
    level: 'syscall',
    title: 'a buffer outside user space is EFAULT, and takes no count',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.result(await t.thread.read(fd, KERNEL_MEMORY, 4), -EFAULT, 'a buffer in kernel memory');
      t.result(await t.thread.read(fd, t.memory(), 2 ** 52), -EFAULT, 'a buffer that ends in kernel memory');
      t.equal(await t.count(fd), 1, 'the count afterwards');
    },
  },
  {
    id: 'P1',
    level: 'syscall',
    title: 'a length over INT_MAX is EINVAL',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      t.result(await t.thread.read(fd, at(t.edge(), -4096), INT_MAX + 1), -EINVAL, 'a read of 2 GiB');
    },
  },
  {
    id: 'P1',
    level: 'syscall',
    title: 'a length over INT_MAX is cut, not refused',
    kernel: 'usrdrv-6.1',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      t.result(await t.thread.read(fd, at(t.edge(), -4096), INT_MAX + 1), 4, 'a read of 2 GiB');
    },
  },
  {
    id: 'P2',
    level: 'syscall',
    title: 'a read returns 4 bytes, however long the buffer',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      for (const length of [4, 5, 8, 4096]) {
        const buf = t.memory();
        t.view(buf, 8).setUint32(4, 0xa5a5_a5a5);
        await t.edu.raise(1);
        t.result(await t.soon(t.thread.read(fd, buf, length), 'read'), 4, `a read of ${length} bytes`);
        t.equal(t.view(buf, 8).getInt32(0, true), 1, 'the count, host-endian');
        t.equal(t.view(buf, 8).getUint32(4), 0xa5a5_a5a5, 'the bytes behind it');
        await t.edu.acknowledge(1);
      }
    },
  },
  {
    id: 'P2',
    level: 'syscall',
    title: 'a length below 4 is EINVAL, whatever the buffer, and takes no count',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.edu.raise(1);
      for (const length of [0, 1, 2, 3]) {
        t.result(await t.thread.read(fd, t.memory(), length), -EINVAL, `a read of ${length} bytes`);
        t.result(await t.thread.read(fd, t.edge(), length), -EINVAL, `${length} bytes to unmapped memory`);
      }
      t.equal(await t.count(fd), 1, 'the count afterwards');
    },
  },
  {
    id: 'P3',
    level: 'syscall',
    title: 'EFAULT takes no count',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      await t.edu.raise(1);
      const bad = {
        'the null pointer': virtualAddress(0),
        'unmapped memory': t.edge(),
        'the last 2 bytes of mapped memory': at(t.edge(), -2),
        'read-only memory': t.memory(1, PROT_READ),
      };
      for (const [what, buf] of Object.entries(bad)) {
        t.result(await t.soon(t.thread.read(fd, buf, 4), what), -EFAULT, `a read to ${what}`);
      }
      t.equal(await t.poll(fd, POLLIN), POLLIN, 'poll afterwards');
      t.equal(await t.count(fd), 1, 'the count afterwards');
    },
  },
  {
    id: 'P3',
    level: 'syscall',
    title: 'a read that is interrupted while it sleeps takes no count',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq();
      const abort = new AbortController();
      const read = await t.sleeps(t.thread.read(fd, t.memory(), 4, { signal: abort.signal }), 'read');
      abort.abort();
      t.result(await read.ends(), -EINTR, 'the interrupted read');
      await t.edu.raise(1);
      t.equal(await t.count(fd), 1, 'the next read');
    },
  },
  {
    id: 'P4',
    level: 'syscall',
    title: 'a caught signal ends a sleeping read with EINTR',
    needs: ['edu', 'signals'],
    async run(t) {
      let caught = 0;
      t.result(t.thread.sigaction(SIGUSR1, { handler: () => void caught++, flags: 0 }), 0, 'sigaction');
      const read = await t.sleeps(t.startCount(t.openIrq()), 'read');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      t.result(await read.ends(), -EINTR, 'the interrupted read');
      t.equal(caught, 1, 'handlers run');
    },
  },
  {
    id: 'P4',
    level: 'syscall',
    title: 'under SA_RESTART a sleeping read goes on after the handler',
    needs: ['edu', 'signals'],
    async run(t) {
      let caught = 0;
      t.result(t.thread.sigaction(SIGUSR1, { handler: () => void caught++, flags: SA_RESTART }), 0, 'sigaction');
      const read = await t.sleeps(t.startCount(t.openIrq()), 'read');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      await read.sleepsOn('read after the handler');
      t.equal(caught, 1, 'handlers run');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
    },
  },
  {
    id: 'P4',
    level: 'syscall',
    title: 'an ignored signal ends neither a sleeping read nor a sleeping poll',
    needs: ['edu', 'signals'],
    async run(t) {
      t.result(t.thread.sigaction(SIGUSR1, { flags: 0 }), 0, 'sigaction');
      const fd = t.openIrq();
      const poll = await t.sleeps(t.thread.poll([{ fd, events: POLLIN, revents: 0 }], -1), 'poll');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      await poll.sleepsOn('poll after an ignored signal');
      await t.edu.raise(1);
      t.result(await poll.ends(), 1, 'poll');
      t.equal(await t.count(fd), 1, 'the count');
      await t.edu.acknowledge(1);
      const read = await t.sleeps(t.startCount(fd), 'read');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      await read.sleepsOn('read after an ignored signal');
      await t.edu.raise(1);
      t.equal(await read.ends(), 1, 'the count');
    },
  },
  {
    id: 'P4',
    level: 'syscall',
    title: 'poll and select end with EINTR even under SA_RESTART',
    needs: ['edu', 'signals'],
    async run(t) {
      t.result(t.thread.sigaction(SIGUSR1, { handler: () => {}, flags: SA_RESTART }), 0, 'sigaction');
      const fd = t.openIrq();
      const poll = await t.sleeps(t.thread.poll([{ fd, events: POLLIN, revents: 0 }], -1), 'poll');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      t.result(await poll.ends(), -EINTR, 'the interrupted poll');
      const select = await t.sleeps(t.thread.select({ read: new Set([fd]) }, undefined), 'select');
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      t.result(await select.ends(), -EINTR, 'the interrupted select');
    },
  },
  {
    id: 'P4',
    level: 'syscall',
    title: 'a read without waiting is not ended by a signal that was handled before',
    needs: ['edu', 'signals'],
    async run(t) {
      t.result(t.thread.sigaction(SIGUSR1, { handler: () => {}, flags: 0 }), 0, 'sigaction');
      const fd = t.openIrq(O_NONBLOCK);
      t.result(t.thread.kill(t.process, SIGUSR1), 0, 'kill');
      t.result(await t.count(fd), -EAGAIN, 'read');
    },
  },
  {
    id: 'P7',
    level: 'syscall',
    title: 'a line opened for writing only is claimed and unmasked; read is EBADF, write EINVAL',
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_WRONLY);
      const before = t.taken();
      await t.edu.raise(1);
      t.equal(t.taken() - before, 1, 'interrupts taken');
      t.result(await t.thread.read(fd, t.memory(), 4), -EBADF, 'read');
      t.result(await t.thread.write(fd, t.memory(), 4), -EINVAL, 'write');
      t.equal(await t.poll(fd, POLLIN), POLLIN, 'poll');
    },
  },
  {
    id: 'P7',
    level: 'syscall',
    title: 'write is EBADF on a line opened for reading, EINVAL on one opened for both',
    needs: ['edu'],
    async run(t) {
      const reader = t.openIrq();
      t.result(await t.thread.write(reader, t.memory(), 4), -EBADF, 'write on O_RDONLY');
      t.result(t.thread.close(reader), 0, 'close');
      const both = t.openIrq(O_RDWR | O_NONBLOCK);
      t.result(await t.thread.write(both, t.memory(), 4), -EINVAL, 'write on O_RDWR');
      await t.edu.raise(1);
      t.equal(await t.count(both), 1, 'read on O_RDWR');
    },
  },
];
