import { checkResult, EAGAIN, ENOSYS } from '../errors.ts';
import {
  F_SETFL,
  type Interruptible,
  type MaySleep,
  O_NONBLOCK,
  type PollFd,
  type SyscallResult,
  type UserThread,
} from '../user-mode-kernel.ts';

/** A file with O_NONBLOCK, which poll(2) waits for. */
export interface PolledFile {
  readonly thread: UserThread;
  /** The file alone, for POLLIN. */
  readonly fds: readonly [PollFd];
  /** Of what size the one number is that a read gives; left out where a read gives something else. */
  readonly bytes?: 4 | 8 | undefined;
  /** Reads without sleeping: the number, or what is counted in its place, or -errno. -EAGAIN where there is nothing. */
  take(): SyscallResult;
}

/** A `take` that waits, as a system call that sleeps: its result at once, or a promise of what `onReturn` makes of it. */
export function takeWhenReady(file: PolledFile, o: Interruptible): MaySleep {
  const { thread, fds, bytes } = file;
  if (bytes !== undefined && thread.waitForCount !== undefined) return thread.waitForCount(fds[0].fd, bytes, o);
  const onReturn = (ready: SyscallResult): MaySleep => {
    const result = ready < 0 ? ready : takeAgain(file, o);
    return typeof result === 'number' && o.onReturn !== undefined ? o.onReturn(result) : result;
  };
  for (;;) {
    const ready = thread.poll(fds, -1, { ...o, onReturn });
    if (typeof ready !== 'number' || ready < 0) return ready;
    const result = file.take();
    if (result !== -EAGAIN) return result;
  }
}

/** Poll(2) has found something, unless somebody else was faster. */
function takeAgain(file: PolledFile, o: Interruptible): MaySleep {
  const result = file.take();
  return result === -EAGAIN ? takeWhenReady(file, o) : result;
}

/** Reads of a count that sleep with the whole thread, of a file that has O_NONBLOCK for all others. */
export class SyncReads {
  readonly #thread: UserThread;
  readonly #fd: number;
  readonly #bytes: 4 | 8;
  #blocking = false;

  constructor(thread: UserThread, fd: number, bytes: 4 | 8) {
    this.#thread = thread;
    this.#fd = fd;
    this.#bytes = bytes;
  }

  /** The count, or -errno. The file stays without O_NONBLOCK: who reads so does it again. */
  read(): SyscallResult {
    const thread = this.#thread;
    if (thread.readCount === undefined) return -ENOSYS;
    if (!this.#blocking) this.#set(0);
    this.#blocking = true;
    return thread.readCount(this.#fd, this.#bytes);
  }

  /** Before a read of another kind. */
  end(): void {
    if (this.#blocking) this.#set(O_NONBLOCK);
    this.#blocking = false;
  }

  #set(flags: number): void {
    checkResult(this.#thread.fcntl(this.#fd, F_SETFL, flags), 'fcntl');
  }
}
