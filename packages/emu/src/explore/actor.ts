import type { MaySleep } from '@usrdrv/core';
import type { SystemCall } from '../kernel/scheduler.ts';
import { CPU_RELAX, SCHEDULE, type Step, type Steps, step } from '../kernel/step.ts';
import { TASK_RUNNING, type Task } from '../kernel/task.ts';
import type { Cpu } from '../machine/cpu.ts';

/**
 * What a thread or a device does: a generator of system calls and of steps of its own. `yield t.read(fd)` makes a system
 * call and has its result; `yield step('ack')` is a place where others may come in before what follows.
 */
export type Program = Generator<Step | MaySleep, void, number>;

/** A program, as far as an actor needs it. */
export type ActorProgram = Pick<Program, 'next'>;

/** A step of a program that cannot be taken before `ready` says yes: a device that waits to be acknowledged. */
export function until(name: string, ready: () => boolean): Step {
  return { name: step(name).name, ready };
}

/** In user space: the next system call, up to its first step in the kernel. */
export const USER = step('user');
/** A processor takes an interrupt: up to the first step of its flow. */
export const TAKE = step('interrupt');
/** Virtual time jumps to the next timer. */
export const TIMER = step('timer');

export type ActorKind = 'thread' | 'interrupt' | 'device' | 'clock';

/** Somebody who takes steps: a thread, the interrupts of a processor, a device, the clock. */
export class Actor {
  /** What it does next. */
  at: Step = USER;
  done = false;
  /** The kernel code that it is in; undefined in user space. */
  steps: Pick<Steps<unknown>, 'next'> | undefined = undefined;
  program: ActorProgram | undefined = undefined;
  /** What its program is told next: the result of the last system call. */
  result = 0;
  call: SystemCall | undefined = undefined;
  /** The system call has this result, and kernel code that comes after it still runs. */
  finishing: number | undefined = undefined;
  /** How much had happened when it looked at a lock in vain: it looks again when more has. */
  relaxedAt = -1;
  /** Its last system call changes nothing that others see before its first step: a read or a poll. */
  plain = false;
  /** Interrupts: the line whose flow runs. */
  irq = -1;

  constructor(
    readonly id: number,
    readonly kind: ActorKind,
    readonly name: string,
    readonly cpu: Cpu | undefined,
    readonly task: Task | undefined,
  ) {}

  reset(program: ActorProgram | undefined): void {
    this.at = USER;
    this.done = program === undefined;
    this.steps = undefined;
    this.program = program;
    this.result = 0;
    this.call = undefined;
    this.finishing = undefined;
    this.relaxedAt = -1;
    this.plain = true;
    this.irq = -1;
  }

  /** Whether its next step can be taken, as far as only it is concerned. */
  mayGoOn(progress: number): boolean {
    if (this.done) return false;
    const { at } = this;
    if (at === SCHEDULE) return this.task === undefined || this.task.state === TASK_RUNNING;
    if (at === CPU_RELAX) return progress > this.relaxedAt;
    return at.ready === undefined || at.ready();
  }

  /** What it waits for, in words; undefined where it waits for nothing. */
  get waitsFor(): string | undefined {
    if (this.done) return undefined;
    if (this.at === SCHEDULE) return 'sleeps until it is woken';
    if (this.at === CPU_RELAX) return 'spins until another processor is done';
    return this.at.ready === undefined ? undefined : `waits: ${this.at.name}`;
  }
}
