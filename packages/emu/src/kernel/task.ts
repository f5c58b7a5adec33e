import type { Cpu } from '../machine/cpu.ts';
import type { Process } from './process.ts';
import type { WaitQueueEntry } from './wait-queue.ts';

export const TASK_RUNNING = 0;
export const TASK_INTERRUPTIBLE = 1;
const TASK_UNINTERRUPTIBLE = 2;
export type TaskState = typeof TASK_RUNNING | typeof TASK_INTERRUPTIBLE | typeof TASK_UNINTERRUPTIBLE;

/** A system call that sleeps. */
export interface Sleeper {
  /** What calls it off. */
  readonly abort: AbortSignal | undefined;
  /** Goes on from where it fell asleep; it may fall asleep again. */
  resume(): void;
}

/** Who puts woken tasks back on a processor. */
export interface RunQueue {
  enqueue(task: Task): void;
}

/** A task_struct: what the scheduler runs, in one system call at a time. */
export class Task {
  state: TaskState = TASK_RUNNING;
  /** Set while the task is off its processor: what continues it. */
  sleeper: Sleeper | undefined = undefined;
  /** A signal that will be caught waits, or the caller called the system call off. */
  signalPending = false;
  /** The process is being killed: uninterruptible or not, the task gives up what it waits for. */
  killed = false;
  /** The last abort signal that its calls came with: it is among those that the signal wakes. */
  heard: AbortSignal | undefined = undefined;
  /** What stands for it on the wait queue that it sleeps on; it never sleeps on two. */
  readonly waiter: WaitQueueEntry = { wake: () => this.wakeUp() };

  constructor(
    readonly tid: number,
    readonly process: Process,
    readonly cpu: Cpu,
    private readonly runQueue: RunQueue,
  ) {}

  /** wake_up_process(): makes it runnable; it continues when the processor is free. */
  wakeUp(): void {
    if (this.state === TASK_RUNNING) return;
    this.state = TASK_RUNNING;
    if (this.sleeper !== undefined) this.runQueue.enqueue(this);
  }

  /** A signal arrived: ends an interruptible sleep. */
  signal(): void {
    this.signalPending = true;
    if (this.state === TASK_INTERRUPTIBLE) this.wakeUp();
  }
}
