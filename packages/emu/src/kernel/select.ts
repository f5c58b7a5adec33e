import { EBADF, EFAULT, EINVAL, type FdSets, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM } from '@usrdrv/core';
import type { VirtualClock } from '../machine/clock.ts';
import { PollQueues } from './poll.ts';
import { ERESTARTNOHAND } from './scheduler.ts';
import type { Steps } from './step.ts';
import type { Task } from './task.ts';

const FD_SETSIZE = 1024;

const POLLPRI = 0x002;
const POLLRDBAND = 0x080;
const POLLWRNORM = 0x100;
const POLLWRBAND = 0x200;
const POLLIN_SET = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
const POLLOUT_SET = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
const POLLEX_SET = POLLPRI;

/** One set of select(2), and which bits of a poll mask put a descriptor into it. */
interface FdSet {
  /** The caller's, overwritten with the result. */
  readonly set: Set<number>;
  readonly asked: ReadonlySet<number>;
  readonly mask: number;
  readonly ready: Set<number>;
}

/** The sets as they were given: every descriptor checked, or -errno. */
export function fdSets(sets: FdSets): FdSet[] | number {
  if (typeof sets !== 'object' || sets === null) return -EFAULT;
  const result: FdSet[] = [];
  const all = [
    [sets.read, POLLIN_SET],
    [sets.write, POLLOUT_SET],
    [sets.except, POLLEX_SET],
  ] as const;
  for (const [set, mask] of all) {
    if (set === undefined) continue;
    if (!(set instanceof Set)) return -EFAULT;
    for (const fd of set) if (!Number.isInteger(fd) || fd < 0 || fd >= FD_SETSIZE) return -EINVAL;
    result.push({ set, asked: new Set(set), mask, ready: new Set() });
  }
  return result;
}

/** do_select(): how many bits are set in the sets' `ready`, or -errno. P10 holds as for poll(2). */
export function* select(
  task: Task,
  clock: VirtualClock,
  sets: readonly FdSet[],
  timeout: number | undefined,
): Steps<number> {
  const { files } = task.process;
  const fds = [...new Set(sets.flatMap(({ asked }) => [...asked]))].sort((a, b) => a - b);
  if (fds.some((fd) => files.get(fd) === undefined)) return -EBADF;
  const queues = new PollQueues(task, clock, timeout);
  let result: number;
  do {
    result = 0;
    for (const set of sets) set.ready.clear();
    for (const fd of fds) {
      // Closed meanwhile by another thread: nothing to hear of any more.
      const file = files.get(fd);
      if (file === undefined) continue;
      const asked = sets.filter((set) => set.asked.has(fd));
      const mask = yield* queues.poll(
        file,
        asked.reduce((bits, set) => bits | set.mask, 0),
      );
      for (const set of asked) {
        if ((mask & set.mask) === 0) continue;
        set.ready.add(fd);
        result++;
        queues.register = false;
      }
    }
    if (result === 0 && task.signalPending) result = -ERESTARTNOHAND;
  } while (result === 0 && (yield* queues.sleep()));
  yield* queues.free();
  return result;
}
