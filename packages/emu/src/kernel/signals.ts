import { EFAULT, EINVAL, SA_RESTART, SIGKILL, type SigAction } from '@usrdrv/core';
import type { Task } from './task.ts';

/** Signals are 1 to 64; 0 only asks whether the process is there. */
export const NSIG = 64;

const SIGCHLD = 17;
const SIGCONT = 18;
const SIGSTOP = 19;
const SIGTSTP = 20;
const SIGTTIN = 21;
const SIGTTOU = 22;
const SIGURG = 23;
const SIGWINCH = 28;

/** Nothing happens by default. Job control is not modelled: the signals that would stop a process do nothing either. */
const IGNORED_BY_DEFAULT = new Set([SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH]);

/** What a process does about signals (struct sighand_struct), and which have arrived for its tasks (struct sigpending). */
export class Signals {
  readonly #actions = new Map<number, SigAction>();
  readonly #pending = new Map<Task, number[]>();

  /** fork(): the child keeps the actions, not what is pending. */
  fork(): Signals {
    const child = new Signals();
    for (const [signum, action] of this.#actions) child.#actions.set(signum, action);
    return child;
  }

  /** rt_sigaction(2) */
  setAction(signum: number, action: SigAction): number {
    if (!Number.isInteger(signum) || signum < 1 || signum > NSIG) return -EINVAL;
    if (typeof action !== 'object' || action === null) return -EFAULT;
    const { handler, flags } = action;
    if (signum === SIGKILL || signum === SIGSTOP) return -EINVAL;
    if ((handler !== undefined && typeof handler !== 'function') || !Number.isInteger(flags)) return -EINVAL;
    this.#actions.set(signum, handler === undefined ? { flags } : { handler, flags });
    return 0;
  }

  /** What the arrival of a signal does to the process. */
  disposition(signum: number): 'ignore' | 'terminate' | 'handle' {
    if (signum === SIGKILL) return 'terminate';
    const action = this.#actions.get(signum);
    if (action === undefined) return IGNORED_BY_DEFAULT.has(signum) ? 'ignore' : 'terminate';
    return action.handler === undefined ? 'ignore' : 'handle';
  }

  /** A signal that is handled waits for the task; one that waits already is not queued twice. */
  queue(task: Task, signum: number): void {
    const pending = this.#pending.get(task);
    if (pending === undefined) this.#pending.set(task, [signum]);
    else if (!pending.includes(signum)) pending.push(signum);
  }

  /**
   * Runs the handlers of what waits for the task, the lowest number first.
   * @returns whether the interrupted call restarts: the handler that ran first has SA_RESTART (P4). False where nothing
   *   waited: whatever interrupted the call counts as caught, without SA_RESTART.
   */
  deliver(task: Task): boolean {
    let pending = this.#pending.get(task);
    if (pending === undefined) return false;
    let restart: boolean | undefined;
    while (pending !== undefined) {
      this.#pending.delete(task);
      for (const signum of pending.sort((a, b) => a - b)) {
        const action = this.#actions.get(signum);
        if (action?.handler === undefined) continue;
        restart ??= (action.flags & SA_RESTART) !== 0;
        action.handler(signum);
      }
      // A handler may have sent another.
      pending = this.#pending.get(task);
    }
    // Ignored by now: as if it had never come.
    return restart ?? true;
  }
}
