import { EINTR, ESRCH, type Interruptible, type MaySleep } from '@usrdrv/core';
import type { Process } from './process.ts';
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

  /** Runs kernel code that may sleep. `over` is told the result first. */
  sleep(call: (task: Task) => Steps<number>, o: Interruptible | undefined, over: (result: number) => void): MaySleep {
    const { process } = this;
    const task = this.idle();
    process.enter();
    const done = (result: number): void => {
      over(result);
      process.leave();
    };
    let result: MaySleep = -EINTR;
    try {
      result = process.kernel.machine.scheduler.run(task, () => call(task), abortSignal(o), done);
    } finally {
      // Also where a signal handler throws.
      if (typeof result === 'number') done(result);
    }
    return result;
  }

  /** Runs kernel code that does not sleep. ESRCH once the process has ended. */
  run(call: (task: Task) => Steps<number>): number {
    const { process } = this;
    if (process.dead) return -ESRCH;
    const task = this.idle();
    process.enter();
    try {
      const result = process.kernel.machine.scheduler.run(task, () => call(task));
      if (typeof result !== 'number') throw new Error('BUG: a system call that never sleeps went to sleep');
      return result;
    } finally {
      process.leave();
    }
  }

  /** A task that is in no call that sleeps. */
  idle(): Task {
    return this.tasks.find((task) => task.resume === undefined) ?? this.#add(this.process.kernel.newPid());
  }

  #add(tid: number): Task {
    const { kernel } = this.process;
    const task = new Task(tid, this.process, kernel.nextCpu(), kernel.machine.scheduler);
    this.tasks.push(task);
    return task;
  }
}

/** What calls a sleeping call off; anything that is no AbortSignal never does. */
function abortSignal(o: Interruptible | undefined): AbortSignal | undefined {
  const signal = o?.signal;
  return typeof signal?.addEventListener === 'function' ? signal : undefined;
}
