import { EAGAIN, EINTR, type MaySleep } from '@usrdrv/core';
import { IRQ_DISABLED } from '../kernel/irq-desc.ts';
import { ERESTARTNOHAND, ERESTARTSYS, type Stepper, type SystemCall } from '../kernel/scheduler.ts';
import { CPU_RELAX, type Step, type Steps } from '../kernel/step.ts';
import type { Task } from '../kernel/task.ts';
import type { Cpu, Passer } from '../machine/cpu.ts';
import { type Actor, type Program, TAKE, TIMER, USER } from './actor.ts';
import type { Invariant, Violation } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';
import type { Strategy } from './strategy.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import type { Tape } from './token.ts';
import type { ExploredThread, World } from './world.ts';

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
export class Interleaving implements Stepper, Passer {
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
  #progress = 0;
  /** System calls that have returned. */
  #returned = 0;
  #lastThread: Actor | undefined = undefined;
  #captured: SystemCall | undefined = undefined;
  readonly #also: Steps<unknown>[] = [];
  readonly #enabled: Actor[] = [];
  /** By position: who took the step, or which way the choice went; of this run, and before that of the last. */
  readonly #who: (Actor | undefined)[] = [];
  readonly #picked: number[] = [];
  /** Positions that are as in the last run. */
  #same = 0;
  readonly #afterStep: readonly Invariant[];
  readonly #atRest: readonly Invariant[];
  readonly #atEnd: readonly Invariant[];
  /** Some are asked after every step. */
  readonly #eachStep: boolean;

  constructor(
    readonly world: World,
    private readonly strategy: Strategy,
    invariants: readonly Invariant[],
  ) {
    this.#afterStep = invariants.filter(({ afterStep }) => afterStep !== undefined);
    this.#atRest = invariants.filter(({ atRest }) => atRest !== undefined);
    this.#atEnd = invariants.filter(({ atEnd }) => atEnd !== undefined);
    this.#eachStep = this.#afterStep.some(({ ofLines }) => ofLines !== true);
    world.machine.scheduler.stepper = this;
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
    this.#progress = 0;
    this.#lastThread = undefined;
    if (this.#also.length > 0) this.#also.length = 0;
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

  begin(_task: Task, call: SystemCall): number {
    this.#captured = call;
    return 0;
  }

  also(_task: Task, steps: Steps<unknown>): void {
    this.#also.push(steps);
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
      this.#advance(actor);
      if (this.last !== CPU_RELAX) this.#progress++;
    }
    // A choice in the midst of the last of them may have gone another way.
    if (actor !== undefined) this.#ask(actor, this.last);
  }

  /** Whether whoever has just taken a step surely takes this one too: then the kernel code need not stop in between. */
  passes(step: Step): boolean {
    const { current } = this;
    const at = this.#position;
    if (current === undefined || !this.#surelyGoesOn(current, at)) return false;
    // What held in the last run holds now.
    if (this.calm || at >= this.#same) {
      this.#taken(current);
      if (this.violation !== undefined || this.steps >= LIMIT_STEPS) return false;
    } else if (this.last !== CPU_RELAX) this.#progress++;
    this.steps++;
    this.last = step;
    if (!this.calm) this.#who[this.#position++] = current;
    return true;
  }

  #surelyGoesOn(current: Actor, at: number): boolean {
    if (this.calm) return !this.#straight || this.world.machine.cpus.requests === 0;
    // The last step that is as in the last run is taken by itself: what comes of it may be new.
    if (at < this.#same) return at < this.#same - 1 && this.#who[at] === current;
    return this.strategy.stays(at);
  }

  /** Asks the invariants, unless none of them can say anything else than after the last step. */
  #ask(actor: Actor, step: Step): void {
    const { world } = this;
    if (!this.#eachStep && !world.linesChanged()) return;
    const invariants = this.#afterStep;
    for (let at = 0; at < invariants.length; at++) {
      const what = invariants[at]?.afterStep?.(world, actor, step);
      if (what !== undefined) this.fail(invariants[at]?.name ?? '', what);
    }
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
      this.#advance(actor);
      this.#taken(actor);
    }
  }

  /** A step has been taken: whoever wants to know hears of it. */
  #taken(actor: Actor): void {
    const { last } = this;
    if (last !== CPU_RELAX) this.#progress++;
    if (!this.calm) this.strategy.stepped?.(actor, last);
    this.onStep?.(actor, last);
    this.#ask(actor, last);
  }

  /** Who takes the next step; undefined where nobody can, or the run is given up. */
  #next(): Actor | undefined {
    const { current } = this;
    const goesOn = current !== undefined && this.#canGoOn(current);
    if (this.calm) {
      if (goesOn && !this.#straight) return current;
      return this.#calmNext(this.#collect(goesOn ? current : undefined), goesOn);
    }
    const at = this.#position++;
    const next = goesOn && this.strategy.stays(at) ? current : this.#choose(at, current, goesOn);
    this.#who[at] = next;
    return next;
  }

  #choose(at: number, current: Actor | undefined, goesOn: boolean): Actor | undefined {
    const { strategy } = this;
    const count = this.#collect(goesOn ? current : undefined);
    if (count === 0) return undefined;
    if (count === 1 && strategy.everyStep !== true) return this.#enabled[0];
    const way = strategy.schedule(at, this.#enabled, count, goesOn);
    if (way < 0) {
      this.givenUp = true;
      return undefined;
    }
    if (way > 0) this.#took(at, way);
    return this.#enabled[Math.min(way, count - 1)];
  }

  /** Interrupts come before whoever goes on: then none is late. */
  #calmNext(count: number, goesOn: boolean): Actor | undefined {
    if (count === 0) return undefined;
    const [first, second] = this.#enabled;
    return goesOn && count > 1 && second?.kind === 'interrupt' ? second : first;
  }

  #took(at: number, way: number): void {
    this.taken.push(at);
    this.ways.push(way);
  }

  /** Who can go on, the calm one first: who goes on already, interrupts, the thread that ran last, then all in order. */
  #collect(first: Actor | undefined): number {
    const { world, current } = this;
    const { interrupts, threads, devices, machine } = world;
    const enabled = this.#enabled;
    let count = 0;
    if (first !== undefined) enabled[count++] = first;
    for (let at = 0; at < interrupts.length; at++) {
      const actor = interrupts[at];
      if (actor !== undefined && actor !== current && this.#canGoOn(actor)) enabled[count++] = actor;
    }
    const last = this.#lastThread;
    if (last !== undefined && last !== current && this.#canGoOn(last)) enabled[count++] = last;
    for (let at = 0; at < threads.length; at++) {
      const actor = threads[at]?.actor;
      if (actor !== undefined && actor !== current && actor !== last && this.#canGoOn(actor)) enabled[count++] = actor;
    }
    for (let at = 0; at < devices.length; at++) {
      const actor = devices[at];
      if (actor !== undefined && actor !== current && this.#canGoOn(actor)) enabled[count++] = actor;
    }
    if (current !== world.clock && machine.clock.pending) enabled[count++] = world.clock;
    return count;
  }

  #canGoOn(actor: Actor): boolean {
    switch (actor.kind) {
      case 'interrupt':
        return actor.steps === undefined ? actor.cpu?.interrupted === true : actor.mayGoOn(this.#progress);
      case 'thread':
        // An interrupt handler on its processor comes first; so does whoever switched interrupts off there.
        if (actor.cpu !== undefined && actor.cpu.irqsOff > 0 && actor !== this.current) return false;
        return actor.mayGoOn(this.#progress);
      case 'device':
        return actor.mayGoOn(this.#progress);
      case 'clock':
        return this.world.machine.clock.pending;
    }
  }

  #advance(actor: Actor): void {
    switch (actor.kind) {
      case 'thread':
        this.#lastThread = actor;
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
    do {
      const { name } = actor.at;
      const next: IteratorResult<Step, unknown> = actor.steps.next();
      if (name === 'H2' || name === 'handler.count') this.world.line(actor.irq).counted();
      if (next.done === true) {
        this.#endInterrupt(actor, cpu);
        return;
      }
      this.#at(actor, next.value);
    } while (this.passes(actor.at));
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
    if (step === CPU_RELAX) actor.relaxedAt = this.#progress;
  }

  /** A system call has its result. */
  #returns(actor: Actor, raw: number): void {
    const { task, call } = actor;
    let result = raw;
    this.#returned++;
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
    for (const line of this.world.lines) {
      const { file } = line;
      if (file === undefined || file !== ops) continue;
      if (result === 4) line.returned += thread.value;
      else if (result === -EAGAIN && file.count > 0) {
        this.fail(EAGAIN_IS_TRUE, `read says EAGAIN while the count is ${file.count}`);
      }
    }
  }

  #threadOf(actor: Actor): ExploredThread | undefined {
    for (const thread of this.world.threads) if (thread.actor === actor) return thread;
    return undefined;
  }

  #advanceProgram(actor: Actor): void {
    const { program, task } = actor;
    if (program === undefined) return;
    this.#captured = undefined;
    const next = program.next(actor.result);
    if (next.done === true) {
      actor.done = true;
      return;
    }
    const { value } = next;
    const call = this.#begun();
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

  #begun(): SystemCall | undefined {
    return this.#captured;
  }

  /** Nobody can go on: looks at what became of everyone, then lets devices try everything, and ends the process. */
  #rest(scenario: Pick<ThreadScenario, 'atRest'>): void {
    const { world } = this;
    for (const invariant of this.#atRest) {
      const what = invariant.atRest?.(world);
      if (what !== undefined) this.fail(invariant.name, what);
    }
    this.calm = true;
    if (this.violation === undefined) scenario.atRest?.(world);
    for (let round = 0; this.violation === undefined && this.#unfinished() > 0; round++) {
      const before = this.#returned;
      for (const line of world.lines) line.fire();
      this.current = undefined;
      this.#untilRest();
      // With all that devices can send, somebody must have come back: else nobody ever will.
      if (this.#returned === before || round > LIMIT_STIMULI) this.fail(NOBODY_SLEEPS_FOR_EVER, this.#stuck());
    }
    if (this.violation === undefined) this.#exit();
  }

  #unfinished(): number {
    let count = 0;
    for (const { actor } of this.world.threads) if (!actor.done) count++;
    return count;
  }

  /** Everyone who waits, and for what. */
  #stuck(): string {
    const { threads, lines } = this.world;
    const waits: string[] = [];
    let kind = 'starvation';
    for (const { actor } of threads) {
      if (actor.waitsFor === undefined) continue;
      waits.push(`${actor.name} ${actor.waitsFor}`);
      if (actor.at === CPU_RELAX) kind = 'deadlock';
    }
    for (const { irq, desc, file } of lines) {
      if (file === undefined) continue;
      const masked = (desc.status & IRQ_DISABLED) !== 0;
      if (file.count > 0 && kind !== 'deadlock') kind = 'lost wake-up';
      waits.push(`irq ${irq} is ${masked ? `masked, at depth ${desc.depth}` : 'let through'}, its count ${file.count}`);
    }
    return `${kind}: ${waits.join('; ')}`;
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
      first.actor.reset(closing(first, fd));
      this.#untilRest();
    }
    for (const invariant of this.#atEnd) {
      const what = invariant.atEnd?.(world);
      if (what !== undefined) this.fail(invariant.name, what);
    }
  }
}

const EAGAIN_IS_TRUE = 'EAGAIN is true';
const NOBODY_SLEEPS_FOR_EVER = 'nobody sleeps for ever';

function* closing(thread: ExploredThread, fd: number): Program {
  yield thread.close(fd);
}

function isStep(value: Step | MaySleep): value is Step {
  return typeof value === 'object' && 'name' in value;
}
