/**
 * A place in kernel code at which the real one can be preempted, interrupted, or gives up the processor, named as the
 * rules name it (`R3b`, `H1`, `U4.pin`).
 */
export interface Step {
  readonly name: string;
  /** Where it cannot be taken before something is so: whether it is. */
  readonly ready?: (() => boolean) | undefined;
}

/**
 * Kernel code: a generator that yields a {@link Step} at each such place. It is driven live (straight through) or explored.
 * Code that runs for each interrupt yields `if (cpu.stopsAt(step))`, so that live it costs little more than plain code; schedule() is
 * a stop in any case.
 */
export interface Steps<T> extends IterableIterator<Step, T, void> {}

const names = new Set<string>();

/** The names of all steps, for whoever wants to stop at one: a name that is not here is a mistake. */
export const STEP_NAMES: ReadonlySet<string> = names;

/** Names a step. Steps are constants of the file that yields them. */
export function step(name: string): Step {
  names.add(name);
  return { name, ready: undefined };
}

/** schedule(): the task gives up its processor, and sleeps if its state is no longer RUNNING. */
export const SCHEDULE: Step = step('schedule');

/** A processor that spins on a lock, or waits for a handler on another processor, looks again after this step. */
export const CPU_RELAX: Step = step('cpu_relax');
