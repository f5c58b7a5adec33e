import type { Step } from '../kernel/step.ts';
import type { Actor } from './actor.ts';
import type { Invariant } from './invariants.ts';
import type { WatchedLine } from './watched-line.ts';
import type { World } from './world.ts';

/** Asks invariants about a world in their order, those of lines and warnings only where they may have something to say. */
export class Checks {
  /** Those of every step that come before the first one of lines, and the others. */
  readonly #first: readonly Invariant[];
  readonly #last: readonly Invariant[];
  readonly #ofLine: readonly Invariant[];
  readonly #ofWarning: readonly Invariant[];
  readonly #atRest: readonly Invariant[];
  readonly #atEnd: readonly Invariant[];

  constructor(
    private readonly world: World,
    invariants: readonly Invariant[],
    private readonly fail: (invariant: string, what: string) => void,
  ) {
    const lines = invariants.findIndex(({ ofLine }) => ofLine !== undefined);
    this.#first = invariants.filter(({ afterStep }, nth) => afterStep !== undefined && nth < lines);
    this.#last = invariants.filter(({ afterStep }, nth) => afterStep !== undefined && nth >= lines);
    this.#ofLine = invariants.filter(({ ofLine }) => ofLine !== undefined);
    this.#ofWarning = invariants.filter(({ ofWarning }) => ofWarning !== undefined);
    this.#atRest = invariants.filter(({ atRest }) => atRest !== undefined);
    this.#atEnd = invariants.filter(({ atEnd }) => atEnd !== undefined);
  }

  afterStep(actor: Actor, step: Step): void {
    const { lines, machine } = this.world;
    if (this.#first.length > 0) this.#afterAnyStep(this.#first, actor, step);
    for (let at = 0; at < lines.length; at++) {
      const line = lines[at];
      if (line?.changed() === true) this.#ofChanged(line);
    }
    if (machine.irqs.warnings.length > 0) this.#ofComplaint(machine.irqs.warnings[0]);
    if (this.#last.length > 0) this.#afterAnyStep(this.#last, actor, step);
  }

  atRest(): void {
    for (const invariant of this.#atRest) this.#hears(invariant, invariant.atRest?.(this.world));
  }

  atEnd(): void {
    for (const invariant of this.#atEnd) this.#hears(invariant, invariant.atEnd?.(this.world));
  }

  #afterAnyStep(invariants: readonly Invariant[], actor: Actor, step: Step): void {
    for (const invariant of invariants) this.#hears(invariant, invariant.afterStep?.(this.world, actor, step));
  }

  #ofChanged(line: WatchedLine): void {
    const { file } = line;
    if (file === undefined) return;
    const invariants = this.#ofLine;
    for (let at = 0; at < invariants.length; at++) {
      const what = invariants[at]?.ofLine?.(line, file);
      if (what !== undefined) this.fail(invariants[at]?.name ?? '', what);
    }
  }

  #ofComplaint(warning: string | undefined): void {
    if (warning === undefined) return;
    for (const invariant of this.#ofWarning) this.#hears(invariant, invariant.ofWarning?.(warning));
  }

  #hears({ name }: Invariant, what: string | undefined): void {
    if (what !== undefined) this.fail(name, what);
  }
}
