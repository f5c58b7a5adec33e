import { IRQ_DISABLED } from '../kernel/irq-desc.ts';
import { SCHEDULE } from '../kernel/step.ts';
import { TASK_RUNNING } from '../kernel/task.ts';
import type { Actor } from './actor.ts';
import { replayThreads } from './explore.ts';
import type { Violation } from './invariants.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import type { WatchedLine } from './watched-line.ts';
import type { World } from './world.ts';

/** What a thread is doing. */
export type ThreadState = 'user' | 'kernel' | 'asleep' | 'woken' | 'done';

/** A line after a step. `count` is undefined while nobody has it open. */
export interface LineState {
  readonly asserted: boolean;
  /** At the interrupt controller; and in the kernel's books. */
  readonly masked: boolean;
  readonly disabled: boolean;
  readonly depth: number;
  readonly count: number | undefined;
}

/** One step of a run, and how everything was after it. */
export interface Moment {
  /** Who took it, and its name. */
  readonly actor: string;
  readonly step: string;
  readonly preempted: boolean;
  /** Virtual nanoseconds, of runs of whole drivers: many moments may have the same. */
  readonly time?: number;
  readonly lines: readonly LineState[];
  readonly threads: readonly ThreadState[];
}

/** A run, step by step. */
export interface Recording {
  readonly token: string;
  readonly violation: Violation | undefined;
  /** Who takes steps: threads, interrupts by processor, devices. */
  readonly actors: readonly string[];
  readonly threads: readonly string[];
  readonly irqs: readonly number[];
  readonly moments: readonly Moment[];
}

/**
 * Has a run again, and writes it down.
 * @throws TypeError what is no token
 * @throws RangeError a token of another scenario, or of a run that does not happen any more
 */
export function record(token: string, scenario: ThreadScenario): Recording {
  const moments: Moment[] = [];
  let last: Actor | undefined;
  const watch = (world: World) => (actor: Actor, step: { readonly name: string }) => {
    const preempted = last !== undefined && last !== actor && last.kind === 'thread' && inKernel(last);
    last = actor;
    moments.push({
      actor: actor.name,
      step: step.name,
      preempted,
      lines: world.lines.map((line) => lineState(line)),
      threads: world.threads.map((thread) => threadState(thread.actor)),
    });
  };
  const { violation, world } = replayThreads(token, scenario, watch);
  const took = new Set(moments.map(({ actor }) => actor));
  return {
    token,
    violation,
    actors: world.actors
      .toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || a.id - b.id)
      .map(({ name }) => name)
      .filter((name) => took.has(name)),
    threads: world.threads.map(({ name }) => name),
    irqs: world.lines.map(({ irq }) => irq),
    moments,
  };
}

const ORDER: readonly Actor['kind'][] = ['thread', 'interrupt', 'device', 'clock'];

function inKernel(actor: Actor): boolean {
  return actor.steps !== undefined && actor.at !== SCHEDULE;
}

function lineState({ desc, irq, asserted, file }: WatchedLine): LineState {
  const { depth, chip, status } = desc;
  return { asserted, masked: chip.isMasked(irq), disabled: (status & IRQ_DISABLED) !== 0, depth, count: file?.count };
}

function threadState({ done, steps, at, task }: Actor): ThreadState {
  if (done) return 'done';
  if (steps === undefined) return 'user';
  if (at !== SCHEDULE) return 'kernel';
  return task?.state === TASK_RUNNING ? 'woken' : 'asleep';
}
