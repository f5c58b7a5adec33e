import { EINTR, type Interruptible, type MaySleep } from '@usrdrv/core';
import type { Oracle } from '../explore/oracle.ts';
import type { Cpu, Cpus } from '../machine/cpu.ts';
import type { Idle } from '../machine/idle.ts';
import type { IrqCore } from './irq-desc.ts';
import { SCHEDULE, type Step, type Steps } from './step.ts';
import { type Sleeper, TASK_RUNNING, type Task } from './task.ts';

/** The call was interrupted before it consumed anything: it restarts where every handler that ran had SA_RESTART. */
export const ERESTARTSYS = 512;
/** The call was interrupted, and does not restart: poll, select and epoll_wait. */
export const ERESTARTNOHAND = 514;

/**
 * Runs kernel code live: straight through, at once, on the caller's stack. Only a task that sleeps leaves it; it comes
 * back when it has been woken and whoever is running has finished. Interrupts are taken between steps, on every
 * processor that takes any.
 */
export class Scheduler {
  #depth = 0;
  readonly #runnable: Task[] = [];
  /** What interrupts left to be done when they are over. */
  readonly #later: (() => void)[] = [];
  /** The tasks that have slept in a call which that signal would call off. */
  readonly #heardBy = new WeakMap<AbortSignal, Set<Task>>();
  #stepper: Stepper | undefined = undefined;

  constructor(
    private readonly cpus: Cpus,
    private readonly oracle: Oracle,
    private readonly idle: Idle,
    private readonly irqs: IrqCore,
  ) {
    if (oracle.asksAtSteps) cpus.stops++;
  }

  /** Who drives the calls one step at a time, where this scheduler is not to. */
  get stepper(): Stepper | undefined {
    return this.#stepper;
  }

  set stepper(stepper: Stepper | undefined) {
    this.cpus.stops += Number(stepper !== undefined) - Number(this.#stepper !== undefined);
    this.#stepper = stepper;
  }

  /**
   * Runs a system call of a task.
   * @returns the result, or a promise of what `onReturn` makes of it where the task went to sleep
   */
  run(task: Task, call: SystemCall, abort?: AbortSignal, o?: Interruptible): MaySleep {
    // One that the task listens to has not been aborted.
    if (abort !== undefined && abort !== task.heard && abort.aborted) task.signalPending = true;
    task.process.enter();
    if (this.#stepper !== undefined) return this.#stepper.begin(task, call);
    let inFlight: InFlight;
    let result: number | undefined;
    this.#depth++;
    try {
      inFlight = new InFlight(this, task, call, abort, o);
      result = inFlight.advance();
    } catch (error) {
      // The handler of a signal.
      this.#depth--;
      this.over(task, call, -EINTR);
      throw error;
    }
    this.#depth--;
    if (result === undefined) return this.#sleep(inFlight);
    this.over(task, call, result);
    this.settle();
    return result;
  }

  /** A system call has its result. */
  over(task: Task, call: SystemCall, result: number): void {
    call.over(result);
    task.process.leave();
  }

  /** Runs kernel code that belongs to no sleeping call: a release. It must not sleep. */
  runNow(task: Task, steps: Steps<unknown>): void {
    if (this.#stepper !== undefined) {
      this.#stepper.also(task, steps);
      return;
    }
    this.#depth++;
    try {
      for (;;) {
        const next = steps.next();
        if (next.done === true) return;
        if (next.value === SCHEDULE && task.state !== TASK_RUNNING) {
          throw new Error('BUG: kernel code that must not sleep called schedule()');
        }
        if (this.oracle.asksAtSteps) this.#maySpuriouslyInterrupt(task.cpu, next.value);
        if (this.cpus.requests > 0) this.#takeInterrupts();
      }
    } finally {
      this.#depth--;
      this.settle();
    }
  }

  /** Has something done when whoever is running now has finished: what an interrupt handler must not do itself. */
  later(run: () => void): void {
    this.#later.push(run);
  }

  /** A task was woken. */
  enqueue(task: Task): void {
    this.#runnable.push(task);
  }

  /** Takes waiting interrupts and runs woken tasks until nothing is left to do. Does nothing when called from within. */
  settle(): void {
    if (this.#depth > 0 || this.#stepper !== undefined) return;
    if (this.cpus.requests === 0 && this.#runnable.length === 0 && this.#later.length === 0) return;
    this.#depth++;
    try {
      this.#runAll();
    } finally {
      this.#depth--;
    }
  }

  #runAll(): void {
    for (;;) {
      if (this.cpus.requests > 0) this.#takeInterrupts();
      if (this.#runnable.length > 0) this.#runnable.shift()?.sleeper?.resume();
      else if (this.#later.length > 0) this.#later.shift()?.();
      else return;
    }
  }

  /** Drives a call until it returns, or its task sleeps (undefined). */
  drive(task: Task, steps: Steps<number>): number | undefined {
    for (;;) {
      const next = steps.next();
      if (next.done === true) return next.value;
      if (this.cpus.requests > 0 || this.oracle.asksAtSteps) this.#betweenSteps(task, next.value);
      if (next.value === SCHEDULE && task.state !== TASK_RUNNING) return undefined;
    }
  }

  #sleep(inFlight: InFlight): Promise<number> {
    this.idle.enter();
    inFlight.task.sleeper = inFlight;
    if (inFlight.abort !== undefined && inFlight.task.heard !== inFlight.abort)
      this.#hear(inFlight.task, inFlight.abort);
    const promise = new Promise<number>((resolve, reject) => {
      inFlight.resolve = resolve;
      inFlight.reject = reject;
    });
    this.settle();
    return promise;
  }

  /** A call that slept is about to return. */
  wake({ task }: InFlight): void {
    task.sleeper = undefined;
    this.idle.leave();
  }

  /** Whoever made a call that slept hears of its result, at once or only after something else has happened. */
  tell(inFlight: InFlight, result: number): void {
    const late = this.oracle.asksAtSteps && this.oracle.choose(2, 'result.late') === 1;
    if (late) this.idle.later(() => inFlight.settle(result));
    else inFlight.settle(result);
  }

  /** One signal comes with call after call, and listening to it costs as much as a call does: it is listened to once. */
  #hear(task: Task, abort: AbortSignal): void {
    task.heard = abort;
    const known = this.#heardBy.get(abort);
    if (known !== undefined) {
      known.add(task);
      return;
    }
    const tasks = new Set([task]);
    this.#heardBy.set(abort, tasks);
    const callOff = (): void => {
      for (const each of tasks) {
        if (each.heard === abort) each.heard = undefined;
        if (each.sleeper?.abort === abort) each.signal();
      }
      this.settle();
    };
    abort.addEventListener('abort', callOff, { once: true });
  }

  /** On the way back to user space: runs the handlers. The call's final result, or undefined where it restarts. */
  signals(task: Task, result: number, abort: AbortSignal | undefined): number | undefined {
    const restart = task.process.deliverSignals(task) && abort?.aborted !== true && !task.killed;
    task.signalPending = false;
    if (result === -ERESTARTSYS) return restart ? undefined : -EINTR;
    return result === -ERESTARTNOHAND ? -EINTR : result;
  }

  #betweenSteps(task: Task, step: Step): void {
    if (this.oracle.asksAtSteps) {
      if (this.oracle.choose(2, 'step.signal', step.name) === 1) task.signal();
      this.#maySpuriouslyInterrupt(task.cpu, step);
    }
    if (this.cpus.requests > 0) this.#takeInterrupts();
  }

  /** An interrupt of some line in use that no device asked for. */
  #maySpuriouslyInterrupt(cpu: Cpu, step: Step): void {
    if (this.oracle.choose(2, 'interrupt.spurious', step.name) === 0) return;
    const inUse = [...this.irqs.descs()].filter((desc) => desc.actions.length > 0);
    const desc = inUse[inUse.length > 1 ? this.oracle.choose(inUse.length, 'interrupt.line', step.name) : 0];
    if (desc !== undefined) cpu.request(desc.irq);
  }

  #takeInterrupts(): void {
    const { cpus } = this;
    for (let progress = true; progress; ) {
      progress = false;
      for (let id = 0; id < cpus.all.length; id++) {
        if (cpus.requests === 0 || cpus.locks > 0) return;
        const cpu = cpus.at(id);
        const irq = cpu.take();
        if (irq === undefined) continue;
        progress = true;
        cpu.irqsOff++;
        const flow = this.irqs.handle(cpu, irq);
        // Others may want to come in, but an interrupt handler runs straight through.
        if (flow !== undefined) while (flow.next().done !== true);
        cpu.irqsOff--;
      }
    }
  }
}

/** A system call as the scheduler sees it. */
export interface SystemCall {
  /** Its code; made again where it restarts after a signal. */
  start(task: Task): Steps<number>;
  /** It is over; whoever made it hears of the result after this. */
  over(result: number): void;
}

/** Drives kernel code one step at a time, with others in between. */
export interface Stepper {
  /** A task makes a system call. The result, which nobody looks at: the stepper has it later. */
  begin(task: Task, call: SystemCall): number;
  /** Kernel code that a task has to run before it goes on: the release of a file. */
  also(task: Task, steps: Steps<unknown>): void;
}

/** A system call on its way. */
class InFlight implements Sleeper {
  resolve: (result: MaySleep) => void = nobody;
  reject: (error: unknown) => void = nobody;
  #steps: Steps<number>;

  constructor(
    private readonly scheduler: Scheduler,
    readonly task: Task,
    private readonly call: SystemCall,
    readonly abort: AbortSignal | undefined,
    private readonly o: Interruptible | undefined,
  ) {
    this.#steps = call.start(task);
  }

  /** Runs until the final result, or until the task sleeps (undefined). */
  advance(): number | undefined {
    const { scheduler, task } = this;
    for (;;) {
      const result = scheduler.drive(task, this.#steps);
      if (result === undefined || !task.signalPending) return result;
      const final = scheduler.signals(task, result, this.abort);
      if (final !== undefined) return final;
      this.#steps = this.call.start(task);
    }
  }

  resume(): void {
    let result: number | undefined;
    try {
      result = this.advance();
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (result === undefined) return;
    this.scheduler.wake(this);
    this.scheduler.over(this.task, this.call, result);
    this.scheduler.tell(this, result);
  }

  #failed(error: unknown): void {
    this.scheduler.wake(this);
    this.scheduler.over(this.task, this.call, -EINTR);
    if (typeof this.o?.onThrow === 'function') this.o.onThrow(error);
    this.reject(error);
  }

  settle(result: number): void {
    const { o } = this;
    try {
      this.resolve(typeof o?.onReturn === 'function' ? o.onReturn(result) : result);
    } catch (error) {
      this.reject(error);
    }
  }
}

function nobody(): void {}
