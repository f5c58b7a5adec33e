import { ESRCH, type Interruptible, type MaySleep } from '@usrdrv/core';
import type { Process } from './process.ts';
import type { SystemCall } from './scheduler.ts';
import type { Steps } from './step.ts';
import { Task } from './task.ts';

/**
 * What runs the system calls of a thread. A call that sleeps occupies its task; what the thread calls meanwhile gets a
 * task of its own, as from the thread pool of an event loop.
 */
export class TaskPool {
  readonly process: Process;
  /** The thread's own task first. */
  readonly tasks: Task[] = [];

  constructor(process: Process, tid: number) {
    this.process = process;
    this.#add(tid);
  }

  /** Runs a system call that may sleep. */
  run(call: SystemCall, o: Interruptible | undefined): MaySleep {
    const task = this.idle();
    const abort = o?.signal === task.heard ? task.heard : abortSignal(o);
    return this.process.kernel.machine.scheduler.run(task, call, abort, o);
  }

  /** Runs a system call that does not sleep. ESRCH once the process has ended. */
  runNow(start: (task: Task) => Steps<number>): number {
    const { process } = this;
    if (process.dead) return -ESRCH;
    const result = process.kernel.machine.scheduler.run(this.idle(), { start, over: nothing });
    if (typeof result !== 'number') throw new Error('BUG: a system call that never sleeps went to sleep');
    return result;
  }

  /** A task that is in no call that sleeps. */
  idle(): Task {
    const own = this.tasks[0];
    if (own !== undefined && own.sleeper === undefined) return own;
    return this.tasks.find((task) => task.sleeper === undefined) ?? this.#add(this.process.kernel.newPid());
  }

  #add(tid: number): Task {
    const { kernel } = this.process;
    const task = new Task(tid, this.process, kernel.nextCpu(), kernel.machine.scheduler);
    this.tasks.push(task);
    return task;
  }
}

function nothing(): void {}

/** What calls a sleeping call off; anything that is no AbortSignal never does. */
function abortSignal(o: Interruptible | undefined): AbortSignal | undefined {
  const signal = o?.signal;
  return typeof signal?.addEventListener === 'function' ? signal : undefined;
}
