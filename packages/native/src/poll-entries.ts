import { EFAULT, type PollFd } from '@usrdrv/core';

/** What the addon takes for an entry of poll(2): fd, events, revents. */
const ELEMENTS = 3;

/** Copies the list in: EFAULT where something in it is no entry that can be written to. */
export function pollEntries(fds: readonly PollFd[]): Int32Array | number {
  if (!Array.isArray(fds)) return -EFAULT;
  const entries = new Int32Array(ELEMENTS * fds.length);
  let at = 0;
  for (const entry of fds as readonly PollFd[]) {
    if (typeof entry !== 'object' || entry === null || Object.isFrozen(entry)) return -EFAULT;
    const { fd, events } = entry;
    if (!Number.isInteger(fd) || !Number.isInteger(events)) return -EFAULT;
    // One that is no int is no descriptor either: POLLNVAL, and not whatever is left of it.
    entries[at] = fd === (fd | 0) ? fd : Number.isSafeInteger(fd) && fd < 0 ? -1 : 0x7fff_ffff;
    entries[at + 1] = events & 0xffff;
    at += ELEMENTS;
  }
  return entries;
}

/** Copies `revents` out. */
export function storeRevents(fds: readonly PollFd[], entries: Int32Array): void {
  for (const [index, entry] of fds.entries()) entry.revents = entries[ELEMENTS * index + 2] ?? 0;
}
