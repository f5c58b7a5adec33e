import {
  EBADF,
  EFAULT,
  EINVAL,
  type FdSets,
  type MaySleep,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  type PollFd,
} from '@usrdrv/core';

/** As many descriptors as a set of the C library's holds. */
const FD_SETSIZE = 1024;

const POLLPRI = 0x002;
const POLLRDBAND = 0x080;
const POLLWRNORM = 0x100;
const POLLWRBAND = 0x200;
// The bits that put a descriptor into a set, as the kernel has them.
const POLLIN_SET = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
const POLLOUT_SET = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
const POLLEX_SET = POLLPRI;

/** One of the three sets: the caller's, and the bits that count. */
type FdSet = readonly [set: Set<number>, bits: number];

/** What select(2) is made of: the kernel asks the files the same for poll(2) (P10). */
interface Calls {
  isOpen(fd: number): boolean;
  poll(fds: PollFd[], timeoutMs: number): MaySleep;
}

/** select(2) by means of poll(2). */
export function select(sets: FdSets, timeoutMs: number | undefined, { isOpen, poll }: Calls): MaySleep {
  if (timeoutMs !== undefined && (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))) return -EINVAL;
  const given = fdSets(sets);
  if (typeof given === 'number') return given;
  const fds = new Map<number, PollFd>();
  for (const [set, bits] of given) {
    for (const fd of set) fds.set(fd, { fd, events: (fds.get(fd)?.events ?? 0) | bits, revents: 0 });
  }
  // Before any file is asked, because to ask an irq file unmasks its line.
  for (const fd of fds.keys()) if (!isOpen(fd)) return -EBADF;
  const polled = [...fds.values()];
  const finish = (result: number): number => (result < 0 ? result : store(given, polled));
  const result = poll(polled, timeoutMs ?? -1);
  return typeof result === 'number' ? finish(result) : result.then(finish);
}

function fdSets(sets: FdSets): FdSet[] | number {
  if (typeof sets !== 'object' || sets === null) return -EFAULT;
  const given: FdSet[] = [];
  for (const [set, bits] of [
    [sets.read, POLLIN_SET],
    [sets.write, POLLOUT_SET],
    [sets.except, POLLEX_SET],
  ] as const) {
    if (set === undefined) continue;
    if (!(set instanceof Set)) return -EFAULT;
    for (const fd of set) if (!Number.isInteger(fd) || fd < 0 || fd >= FD_SETSIZE) return -EINVAL;
    given.push([set, bits]);
  }
  return given;
}

/** Leaves in the sets what is ready, and counts it. */
function store(given: readonly FdSet[], polled: readonly PollFd[]): number {
  let count = 0;
  for (const [set, bits] of given) {
    for (const { fd, revents } of polled) if ((revents & bits) === 0) set.delete(fd);
    count += set.size;
  }
  return count;
}
