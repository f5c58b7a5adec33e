import { EAGAIN } from '../errors.ts';
import type { Interruptible, MaySleep, PollFd, SyscallResult, UserThread } from '../user-mode-kernel.ts';

/** A descriptor that is waited for with poll(2), and read without sleeping. */
export interface PolledFile {
  readonly thread: UserThread;
  readonly fds: readonly PollFd[];
  /** A read that does not sleep: -EAGAIN where there is nothing, or somebody else was faster. */
  tryRead(): SyscallResult;
}

/** Waits until a read brings something, as a system call that sleeps: its result, or a promise of what `onReturn` makes of it. */
export function readWhenReady(file: PolledFile, o: Interruptible): MaySleep {
  const { signal, onReturn, onThrow } = o;
  const woken = (ready: SyscallResult): MaySleep => {
    const result = ready < 0 ? ready : file.tryRead();
    if (result !== -EAGAIN) return onReturn?.(result) ?? result;
    const again = readWhenReady(file, o);
    return typeof again === 'number' ? (onReturn?.(again) ?? again) : again;
  };
  const wait: Interruptible = { onReturn: woken, ...(signal && { signal }), ...(onThrow && { onThrow }) };
  for (;;) {
    const ready = file.thread.poll(file.fds, -1, wait);
    if (typeof ready !== 'number' || ready < 0) return ready;
    const result = file.tryRead();
    if (result !== -EAGAIN) return result;
  }
}
