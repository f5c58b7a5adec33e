import type { Machine } from '../machine/machine.ts';
import type { RecordingOracle } from './recording-oracle.ts';

/** What a scenario can say about its own run, besides switching machines on. */
export interface Course {
  /**
   * From here on this may happen once, at any moment: whenever the program awaits something, after it has touched a machine.
   * In a calm run it never does. Where it throws or rejects, so does the run.
   * @param name names it in reports: `'remove()'`
   */
  meanwhile(name: string, act: () => void | Promise<void>): void;
  /**
   * The hostile phase is over: from here on nothing goes wrong any more, what has stalled completes, and what is started
   * from now on has to be done within a bound.
   * @param withinMs milliseconds of virtual time. Left out: 10,000
   */
  calm(withinMs?: number): void;
}

const RECOVERY_MS = 10_000;

/** The course of one run. */
export class RunCourse implements Course {
  readonly #acts: { readonly name: string; readonly act: () => void | Promise<void> }[] = [];
  /** What acts have become. */
  readonly acted: Promise<void>[] = [];
  #momentIsAhead = false;
  #deadlines: ReadonlyMap<Machine, number> | undefined = undefined;
  #withinMs = RECOVERY_MS;

  constructor(
    private readonly oracle: RecordingOracle,
    private readonly machines: readonly Machine[],
  ) {
    oracle.onAsked = () => this.#touched();
  }

  meanwhile(name: string, act: () => void | Promise<void>): void {
    this.#acts.push({ name, act });
  }

  calm(withinMs = RECOVERY_MS): void {
    this.oracle.calm = true;
    this.#withinMs = withinMs;
    this.#acts.length = 0;
    for (const { pci } of this.machines) for (const each of pci.functions()) each.resume();
    this.#deadlines = new Map(this.machines.map((machine) => [machine, machine.clock.now + withinMs * 1e6]));
  }

  /** What is wrong with how long the calm phase takes. */
  get overdue(): string | undefined {
    for (const [{ clock }, deadline] of this.#deadlines ?? []) {
      if (clock.now > deadline) return `nothing was done within ${this.#withinMs} ms after the last fault`;
    }
    return undefined;
  }

  /** The program is at work. The next moment is when it awaits something. */
  #touched(): void {
    if (this.#momentIsAhead || this.#acts.length === 0) return;
    this.#momentIsAhead = true;
    queueMicrotask(() => this.#moment());
  }

  #moment(): void {
    for (const each of [...this.#acts]) {
      if (this.oracle.calm || this.oracle.choose(2, 'meanwhile', each.name) === 0) continue;
      this.#acts.splice(this.#acts.indexOf(each), 1);
      const done = (async () => each.act())();
      // It is awaited when the program is over.
      done.catch(() => {});
      this.acted.push(done);
    }
    this.#momentIsAhead = false;
  }
}
