import type { Actor } from './actor.ts';
import type { World } from './world.ts';

/** Who can take the next step. */
export class Runnable {
  /** Found by {@link collect}: the calm one first. Of older finds some may follow. */
  readonly actors: Actor[] = [];
  /** How much has happened: who has looked at a lock in vain looks again when more has. */
  progress = 0;
  /** The thread that took a step last. */
  lastThread: Actor | undefined = undefined;

  constructor(private readonly world: World) {}

  reset(): void {
    this.progress = 0;
    this.lastThread = undefined;
  }

  /**
   * Finds everyone who can: `first`, interrupts, the thread that ran last, then all in order.
   * @param current who took the last step; it is among them only as `first`
   * @returns how many they are
   */
  collect(first: Actor | undefined, current: Actor | undefined): number {
    const { world, actors, lastThread, progress } = this;
    const { interrupts, threads, devices, machine } = world;
    let count = 0;
    if (first !== undefined) actors[count++] = first;
    for (let at = 0; at < interrupts.length; at++) {
      const actor = interrupts[at];
      if (actor !== undefined && actor !== current && this.#interrupts(actor)) actors[count++] = actor;
    }
    if (lastThread !== undefined && lastThread !== current && this.#comesTo(lastThread)) actors[count++] = lastThread;
    for (let at = 0; at < threads.length; at++) {
      const actor = threads[at]?.actor;
      if (actor === undefined || actor === current || actor === lastThread) continue;
      if (this.#comesTo(actor)) actors[count++] = actor;
    }
    for (let at = 0; at < devices.length; at++) {
      const actor = devices[at];
      if (actor !== undefined && actor !== current && actor.mayGoOn(progress)) actors[count++] = actor;
    }
    if (current !== world.clock && machine.clock.pending) actors[count++] = world.clock;
    return count;
  }

  /** Whether who took the last step can take another one. */
  goesOn(current: Actor): boolean {
    switch (current.kind) {
      case 'interrupt':
        return this.#interrupts(current);
      case 'thread':
      case 'device':
        return current.mayGoOn(this.progress);
      case 'clock':
        return this.world.machine.clock.pending;
    }
  }

  #interrupts(actor: Actor): boolean {
    return actor.steps === undefined ? actor.cpu?.interrupted === true : actor.mayGoOn(this.progress);
  }

  /** An interrupt handler on a thread's processor comes first; so does whoever switched interrupts off there. */
  #comesTo(thread: Actor): boolean {
    return (thread.cpu === undefined || thread.cpu.irqsOff === 0) && thread.mayGoOn(this.progress);
  }
}
