import { CPU_RELAX, type Step } from '../kernel/step.ts';
import type { Passer } from '../machine/cpu.ts';
import { type Actor, type ActorProgram, type Program, USER } from './actor.ts';
import { stuck, unfinished } from './at-rest.ts';
import { Checks } from './checks.ts';
import { Execution } from './execution.ts';
import type { ExploredThread } from './explored-thread.ts';
import type { Invariant, Violation } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';
import { Runnable } from './runnable.ts';
import type { Strategy } from './strategy.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import type { Tape } from './token.ts';
import type { World } from './world.ts';

/** Steps after which a run counts as one that does not end. */
const LIMIT_STEPS = 20_000;
/** Descriptors that a scenario may have open at its end. */
const MOST_DESCRIPTORS = 64;
/** Interrupts that devices send after a run, to see who can still be woken. */
const LIMIT_STIMULI = 32;

/**
 * Takes a world from the start of its programs to the end, one step of one actor at a time. One is for any number of
 * runs, one after the other.
 */
export class Interleaving implements Passer {
  /** What went wrong in this run, the first thing. */
  violation: Violation | undefined = undefined;
  /** Steps taken in this run. */
  steps = 0;
  /** The strategy gave the run up. */
  givenUp = false;
  /** Where in the run a way other than 0 was taken, and which. */
  readonly taken: number[] = [];
  readonly ways: number[] = [];
  #position = 0;
  /** The choices are over: what follows is calm, and only shows who can still go on. */
  calm = false;
  #straight = false;
  /** The step that was taken last, and by whom. */
  last: Step = USER;
  current: Actor | undefined = undefined;
  /** Sees every step, for whoever wants the timeline. */
  onStep: ((actor: Actor, step: Step) => void) | undefined = undefined;
  readonly #runnable: Runnable;
  readonly #execution: Execution;
  /** By position: who took the step, or which way the choice went; of this run, and before that of the last. */
  readonly #who: (Actor | undefined)[] = [];
  readonly #picked: number[] = [];
  /** Positions that are as in the last run. */
  #same = 0;
  readonly #checks: Checks;

  constructor(
    readonly world: World,
    private readonly strategy: Strategy,
    invariants: readonly Invariant[],
  ) {
    this.#checks = new Checks(world, invariants, (invariant, what) => this.fail(invariant, what));
    this.#runnable = new Runnable(world);
    this.#execution = new Execution(world, this.#runnable, this);
    world.machine.scheduler.stepper = this.#execution;
    world.machine.cpus.passer = this;
    world.oracle.asked = this;
    world.runner = this;
  }

  /** Runs the programs that a scenario gives the world. The violation, where there is one. */
  run(scenario: Pick<ThreadScenario, 'start' | 'atRest'>): Violation | undefined {
    this.violation = undefined;
    this.steps = 0;
    this.givenUp = false;
    this.#same = this.onStep === undefined ? (this.strategy.resume?.(this.#position) ?? 0) : 0;
    this.#forgetFrom(this.#same);
    this.#position = 0;
    this.calm = false;
    this.#straight = false;
    this.current = undefined;
    this.last = USER;
    this.#runnable.reset();
    this.#execution.reset();
    scenario.start(this.world);
    try {
      if (this.#same > 0) this.#again();
      this.#untilRest();
      if (this.violation === undefined && !this.givenUp) this.#rest(scenario);
    } catch (error) {
      this.fail('no exception', error instanceof Error ? error.message : String(error));
    }
    return this.violation;
  }

  /** Notes what went wrong; the first thing counts. */
  fail(invariant: string, what: string): void {
    this.violation ??= { invariant, what, step: this.last.name, actor: this.current?.name ?? '' };
  }

  /** Runs a program before the others, or after them: no choices, and interrupts are taken at once. */
  straight(actor: Actor, program: Program): void {
    const { calm } = this;
    this.calm = true;
    this.#straight = true;
    actor.reset(program);
    this.current = undefined;
    this.#untilRest();
    this.current = undefined;
    this.#straight = false;
    this.calm = calm;
  }

  /** What the machine leaves open besides who goes on. */
  choose(n: number, tag: ChoiceTag): number {
    if (this.calm || n < 2) return 0;
    const at = this.#position++;
    if (at < this.#same) return this.#picked[at] ?? 0;
    const way = Math.min(this.strategy.pick(at, n, tag), n - 1);
    this.#picked[at] = way;
    this.#who[at] = undefined;
    if (way > 0) this.#took(at, way);
    return way;
  }

  /** What was not calm, as a tape. */
  get tape(): Tape {
    return new Map(this.taken.map((at, nth) => [at, this.ways[nth] ?? 0]));
  }

  /** What was not calm from a position on is of the last run. */
  #forgetFrom(same: number): void {
    const { taken, ways } = this;
    while (taken.length > 0 && (taken[taken.length - 1] ?? 0) >= same) {
      taken.pop();
      ways.pop();
    }
  }

  /** The steps that are as in the last run. Nobody is asked, and what held then holds now. */
  #again(): void {
    const same = this.#same;
    let actor: Actor | undefined;
    while (this.#position < same) {
      actor = this.#who[this.#position++];
      if (actor === undefined) throw new Error('BUG: a step of the last run that nobody took');
      this.steps++;
      this.current = actor;
      this.last = actor.at;
      this.#execution.advance(actor);
      if (this.last !== CPU_RELAX) this.#runnable.progress++;
    }
    // A choice in the midst of the last of them may have gone another way.
    if (actor !== undefined) this.#checks.afterStep(actor, this.last);
  }

  /** Whether whoever has just taken a step surely takes this one too: then the kernel code need not stop in between. */
  passes(step: Step): boolean {
    const { current, calm } = this;
    if (current === undefined) return false;
    const at = this.#position;
    if (!calm && at < this.#same) return this.#passesAgain(current, at, step);
    if (calm ? !this.#calmlyGoesOn() : !this.strategy.stays(at)) return false;
    if (current.kind === 'interrupt') this.#execution.counted(current, this.last);
    this.#taken(current);
    if (this.violation !== undefined || this.steps >= LIMIT_STEPS) return false;
    this.steps++;
    this.last = step;
    if (!calm) this.#who[this.#position++] = current;
    return true;
  }

  #calmlyGoesOn(): boolean {
    return !this.#straight || this.world.machine.cpus.requests === 0;
  }

  /** What held in the last run holds now. The last step that is as in it is taken by itself: what comes of it may be new. */
  #passesAgain(current: Actor, at: number, step: Step): boolean {
    if (this.#who[at] !== current || at === this.#same - 1) return false;
    if (current.kind === 'interrupt') this.#execution.counted(current, this.last);
    if (this.last !== CPU_RELAX) this.#runnable.progress++;
    this.steps++;
    this.last = step;
    this.#position = at + 1;
    return true;
  }

  /** Steps until nobody can go on. */
  #untilRest(): void {
    while (this.violation === undefined) {
      const actor = this.#next();
      if (actor === undefined) return;
      if (++this.steps > LIMIT_STEPS) {
        this.fail('every run ends', `no end after ${LIMIT_STEPS} steps`);
        return;
      }
      this.current = actor;
      this.last = actor.at;
      this.#execution.advance(actor);
      this.#taken(actor);
    }
  }

  /** A step has been taken: whoever wants to know hears of it. */
  #taken(actor: Actor): void {
    const { last } = this;
    if (last !== CPU_RELAX) this.#runnable.progress++;
    if (!this.calm) this.strategy.stepped?.(actor, last);
    this.onStep?.(actor, last);
    this.#checks.afterStep(actor, last);
  }

  /** Who takes the next step; undefined where nobody can, or the run is given up. */
  #next(): Actor | undefined {
    const { current } = this;
    const goesOn = current !== undefined && this.#runnable.goesOn(current);
    if (this.calm) {
      if (goesOn && !this.#straight) return current;
      return this.#calmNext(this.#runnable.collect(goesOn ? current : undefined, current), goesOn);
    }
    const at = this.#position++;
    const next = goesOn && this.strategy.stays(at) ? current : this.#choose(at, current, goesOn);
    this.#who[at] = next;
    return next;
  }

  #choose(at: number, current: Actor | undefined, goesOn: boolean): Actor | undefined {
    const { strategy } = this;
    const count = this.#runnable.collect(goesOn ? current : undefined, current);
    if (count === 0) return undefined;
    if (count === 1 && strategy.everyStep !== true) return this.#runnable.actors[0];
    const way = strategy.schedule(at, this.#runnable.actors, count, goesOn);
    if (way < 0) {
      this.givenUp = true;
      return undefined;
    }
    if (way > 0) this.#took(at, way);
    return this.#runnable.actors[Math.min(way, count - 1)];
  }

  /** Interrupts come before whoever goes on: then none is late. */
  #calmNext(count: number, goesOn: boolean): Actor | undefined {
    if (count === 0) return undefined;
    const { actors } = this.#runnable;
    const second = actors[1];
    return goesOn && count > 1 && second?.kind === 'interrupt' ? second : actors[0];
  }

  #took(at: number, way: number): void {
    this.taken.push(at);
    this.ways.push(way);
  }

  /** Nobody can go on: looks at what became of everyone, then lets devices try everything, and ends the process. */
  #rest(scenario: Pick<ThreadScenario, 'atRest'>): void {
    const { world } = this;
    this.#checks.atRest();
    this.calm = true;
    if (this.violation === undefined) scenario.atRest?.(world);
    for (let round = 0; this.violation === undefined && unfinished(world) > 0; round++) {
      const before = this.#execution.returned;
      for (const line of world.lines) line.fire();
      this.current = undefined;
      this.#untilRest();
      // With all that devices can send, somebody must have come back: else nobody ever will.
      if (this.#execution.returned === before || round > LIMIT_STIMULI) this.fail(NOBODY_SLEEPS_FOR_EVER, stuck(world));
    }
    if (this.violation === undefined) this.#exit();
  }

  /** Closes what is open, calmly. */
  #exit(): void {
    const { world } = this;
    const [first] = world.threads;
    if (first === undefined) return;
    const { files } = first.thread.process;
    const { fileTable } = world.machine.kernel;
    for (let fd = 0; fileTable.count > 0 && fd < MOST_DESCRIPTORS; fd++) {
      if (files.get(fd) === undefined) continue;
      first.actor.reset(new Closing(first, fd));
      this.current = first.actor;
      this.#untilRest();
    }
    this.#checks.atEnd();
  }
}

const NOBODY_SLEEPS_FOR_EVER = 'nobody sleeps for ever';

/** A thread closes a descriptor, and does nothing else. Written out: every run ends with it. */
class Closing implements ActorProgram {
  #over = false;

  constructor(
    private readonly thread: ExploredThread,
    private readonly fd: number,
  ) {}

  next(): ReturnType<ActorProgram['next']> {
    if (this.#over) return { done: true, value: undefined };
    this.#over = true;
    return { done: false, value: this.thread.close(this.fd) };
  }
}
