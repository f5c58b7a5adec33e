import { EAGAIN } from '../errors.ts';
import type { Interruptible, MaySleep, PollFd, SyscallResult, UserThread } from '../user-mode-kernel.ts';

/** A descriptor that is read without sleeping, and waited for with poll(2). */
export interface PolledFile {
  readonly thread: UserThread;
  readonly fds: readonly PollFd[];
  /** A read that does not sleep: -EAGAIN where there is nothing, or somebody else was faster. */
  tryRead(): SyscallResult;
}

/** A read that waits, as a system call that sleeps: its result at once, or a promise of what `onReturn` makes of it. */
export function readWhenReady(file: PolledFile, o: Interruptible): MaySleep {
  const onReturn = (ready: SyscallResult): MaySleep => {
    const result = ready < 0 ? ready : readWhenReady(file, o);
    return typeof result === 'number' && o.onReturn !== undefined ? o.onReturn(result) : result;
  };
  for (;;) {
    const result = file.tryRead();
    if (result !== -EAGAIN) return result;
    const ready = file.thread.poll(file.fds, -1, { ...o, onReturn });
    if (typeof ready !== 'number' || ready < 0) return ready;
  }
}
