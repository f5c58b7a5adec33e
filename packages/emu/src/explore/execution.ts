import { EAGAIN, EINTR, type MaySleep } from '@usrdrv/core';
import { ERESTARTNOHAND, ERESTARTSYS, type Stepper, type SystemCall } from '../kernel/scheduler.ts';
import { CPU_RELAX, type Step, type Steps } from '../kernel/step.ts';
import type { Task } from '../kernel/task.ts';
import type { Cpu, Passer } from '../machine/cpu.ts';
import { type Actor, TAKE, TIMER, USER } from './actor.ts';
import type { ExploredThread } from './explored-thread.ts';
import type { Runnable } from './runnable.ts';
import type { World } from './world.ts';

const EAGAIN_IS_TRUE = 'EAGAIN is true';

/** Whose steps are taken: decides whether one follows at once, and hears of what goes wrong in it. */
interface Run extends Passer {
  /** The step that was begun last. */
  readonly last: Step;
  fail(invariant: string, what: string): void;
}

/** Takes the steps of actors: threads in user space and in the kernel, interrupts, devices, the clock. */
export class Execution implements Stepper {
  /** System calls that have returned. */
  returned = 0;
  #captured: SystemCall | undefined = undefined;
  readonly #also: Steps<unknown>[] = [];

  constructor(
    private readonly world: World,
    private readonly runnable: Runnable,
    private readonly run: Run,
  ) {}

  reset(): void {
    if (this.#also.length > 0) this.#also.length = 0;
  }

  begin(_task: Task, call: SystemCall): number {
    this.#captured = call;
    return 0;
  }

  also(_task: Task, steps: Steps<unknown>): void {
    this.#also.push(steps);
  }

  /** One step of an actor, and those that follow at once. */
  advance(actor: Actor): void {
    switch (actor.kind) {
      case 'thread':
        this.runnable.lastThread = actor;
        this.#advanceThread(actor);
        break;
      case 'interrupt':
        this.#advanceInterrupt(actor);
        break;
      case 'device':
        this.#advanceProgram(actor);
        break;
      case 'clock':
        actor.at = TIMER;
        this.world.machine.clock.runNext();
        break;
    }
  }

  #advanceInterrupt(actor: Actor): void {
    const { cpu } = actor;
    if (cpu === undefined) return;
    if (actor.steps === undefined) {
      const irq = cpu.take();
      if (irq === undefined) return;
      const flow = this.world.machine.irqs.handle(cpu, irq);
      if (flow === undefined) return;
      cpu.irqsOff++;
      actor.steps = flow;
      actor.irq = irq;
    }
    const next: IteratorResult<Step, unknown> = actor.steps.next();
    this.counted(actor, this.run.last);
    if (next.done === true) this.#endInterrupt(actor, cpu);
    else this.#at(actor, next.value);
  }

  /** An interrupt's step has been taken: keeps the line's books where the handler has counted. */
  counted({ irq }: Actor, { name }: Step): void {
    if (name === 'H2' || name === 'handler.count') this.world.line(irq).counted();
  }

  #endInterrupt(actor: Actor, cpu: Cpu): void {
    cpu.irqsOff--;
    actor.steps = undefined;
    actor.irq = -1;
    actor.at = TAKE;
  }

  #advanceThread(actor: Actor): void {
    if (actor.steps === undefined) {
      this.#advanceProgram(actor);
      return;
    }
    const next = actor.steps.next();
    if (next.done !== true) this.#at(actor, next.value);
    else if (actor.finishing === undefined) this.#returns(actor, typeof next.value === 'number' ? next.value : 0);
    else this.#goesOn(actor);
  }

  #at(actor: Actor, step: Step): void {
    actor.at = step;
    if (step === CPU_RELAX) actor.relaxedAt = this.runnable.progress;
  }

  /** A system call has its result. */
  #returns(actor: Actor, raw: number): void {
    const { task, call } = actor;
    let result = raw;
    this.returned++;
    if (task !== undefined && call !== undefined) {
      if (raw === -ERESTARTSYS || raw === -ERESTARTNOHAND) result = -EINTR;
      task.signalPending = false;
      this.#reads(actor, result);
      this.world.machine.scheduler.over(task, call, result);
    }
    actor.call = undefined;
    actor.finishing = result;
    this.#goesOn(actor);
  }

  /** Back to user space, by way of whatever kernel code has to run before. */
  #goesOn(actor: Actor): void {
    const also = this.#also.shift();
    if (also !== undefined) {
      actor.steps = also;
      const next = also.next();
      if (next.done !== true) {
        this.#at(actor, next.value);
        return;
      }
    }
    actor.steps = undefined;
    actor.result = actor.finishing ?? 0;
    actor.finishing = undefined;
    actor.at = USER;
  }

  /** Keeps the books of a read of an irq file. */
  #reads(actor: Actor, result: number): void {
    const thread = this.#threadOf(actor);
    const ops = thread?.reading;
    if (thread === undefined || ops === undefined) return;
    thread.reading = undefined;
    thread.results.push(result === 4 ? thread.value : result);
    const line = this.world.lineOf(ops);
    if (line?.file === undefined) return;
    if (result === 4) line.returned += thread.value;
    else if (result === -EAGAIN && line.file.count > 0) {
      this.run.fail(EAGAIN_IS_TRUE, `read says EAGAIN while the count is ${line.file.count}`);
    }
  }

  #threadOf(actor: Actor): ExploredThread | undefined {
    const { threads } = this.world;
    for (let at = 0; at < threads.length; at++) if (threads[at]?.actor === actor) return threads[at];
    return undefined;
  }

  #advanceProgram(actor: Actor): void {
    const { program } = actor;
    if (program === undefined) return;
    this.#captured = undefined;
    const next = program.next(actor.result);
    if (next.done === true) actor.done = true;
    else this.#begins(actor, next.value, this.#captured);
  }

  /** An actor takes a step of its own, or makes the system call that has just begun. */
  #begins(actor: Actor, value: Step | MaySleep, call: SystemCall | undefined): void {
    const { task } = actor;
    if (call === undefined || task === undefined) {
      // A step of its own, or a system call that failed before it began.
      if (isStep(value)) actor.at = value;
      else actor.result = typeof value === 'number' ? value : 0;
      if (!isStep(value)) this.#reads(actor, actor.result);
      return;
    }
    actor.call = call;
    const steps = call.start(task);
    actor.steps = steps;
    const first = steps.next();
    if (first.done === true) this.#returns(actor, first.value);
    else this.#at(actor, first.value);
  }
}

function isStep(value: Step | MaySleep): value is Step {
  return typeof value === 'object' && 'name' in value;
}
