import { EduDevice, Machine, type Oracle } from '@usrdrv/emu';
import { Caller, type LitmusDevice } from './caller.ts';
import { Exhaust } from './exhaust.ts';
import { ASLEEP, type Litmus, type LitmusCall, showOutcome } from './litmus.ts';

// What the emulated kernel is driven by, as its scheduler has it.
type Stepper = NonNullable<Machine['scheduler']['stepper']>;
type Task = Parameters<Stepper['begin']>[0];
type SystemCall = Parameters<Stepper['begin']>[1];
type Cpu = ReturnType<Machine['cpus']['at']>;
type Code = ReturnType<SystemCall['start']>;
type Also = Parameters<Stepper['also']>[1];

/** What the emulated kernel allows. */
export interface Allowed {
  readonly outcomes: ReadonlySet<string>;
  /** Interleavings that were run. */
  readonly runs: number;
}

/**
 * Lists the outcomes of a litmus test on the emulated kernel, by running every interleaving with at most `preemptions`
 * switches away from somebody who could have gone on. Who takes steps are the workers, each on a processor of its own,
 * and the interrupt handler, on one of its own: so it may run at any time, and be late for any time.
 */
export function allowedOutcomes(test: Litmus, preemptions: number): Allowed {
  const outcomes = new Set<string>();
  const exhaust = new Exhaust();
  let runs = 0;
  do {
    outcomes.add(new Run(test, exhaust, preemptions).outcome());
    runs++;
  } while (exhaust.next());
  return { outcomes, runs };
}

/** Somebody who takes steps. */
interface Actor {
  /** Whether it can take one now. */
  readonly ready: boolean;
  /** It has found a lock taken, and looks again only after somebody has got further. */
  spins: boolean;
  step(): void;
}

/** -ERESTARTSYS and -ERESTARTNOHAND: what becomes EINTR on the way to user space. */
const RESTARTS: readonly number[] = [-512, -514];

/** One interleaving. */
class Run implements Stepper {
  readonly #machine: Machine;
  readonly #main: Caller;
  readonly #workers: WorkerActor[];
  readonly #actors: Actor[];
  #captured: { readonly task: Task; readonly call: SystemCall } | undefined;
  #also: Also[] = [];

  constructor(
    private readonly test: Litmus,
    private readonly exhaust: Exhaust,
    private readonly preemptions: number,
  ) {
    const edu = new EduDevice();
    const processors = test.workers.length + 2;
    this.#machine = new Machine({ devices: [edu], processors, oracle: toProcessor(processors - 1) });
    const { kernel } = this.#machine;
    const device = litmusDevice(this.#machine, edu);
    const mappings = new Map<number, bigint>();
    const { thread } = kernel.process;
    this.#main = new Caller(thread, device, mappings, test.workers.length);
    this.#main.mapArena();
    for (const call of test.setup) this.#live(call);
    this.#workers = test.workers.map(({ calls, process }, which) => {
      const made = process ? thread.fork() : thread.clone();
      if (typeof made === 'number') throw new Error('a worker cannot be made');
      return new WorkerActor(calls, new Caller(made, device, mappings, which), this);
    });
    this.#actors = [...this.#workers, new InterruptActor(this.#machine, this.#machine.cpus.at(processors - 1))];
  }

  outcome(): string {
    const { scheduler } = this.#machine;
    scheduler.stepper = this;
    this.#interleave();
    for (const worker of this.#workers) worker.giveUp();
    for (let actor = this.#ready(); actor !== undefined; actor = this.#ready()) this.#step(actor);
    scheduler.stepper = undefined;
    scheduler.settle();
    for (const [at, { process }] of this.test.workers.entries()) {
      if (process) this.#workers[at]?.caller.thread.exitGroup(0);
    }
    const after = this.test.after.map((call) => this.#live(call));
    const logs = this.#workers.map(({ log }) => log);
    this.#machine.kernel[Symbol.dispose]();
    return showOutcome(logs, after);
  }

  begin(task: Task, call: SystemCall): number {
    this.#captured = { task, call };
    return 0;
  }

  also(_task: Task, steps: Also): void {
    this.#also.push(steps);
  }

  /** What a worker's call has handed over since it was asked last. */
  captured(): { readonly task: Task; readonly call: SystemCall } | undefined {
    const captured = this.#captured;
    this.#captured = undefined;
    return captured;
  }

  /** A call of a worker is over; what there is to do on the way back to user space. */
  over(task: Task, call: SystemCall, result: number): Also | undefined {
    this.#machine.scheduler.over(task, call, result);
    return this.#also.shift();
  }

  signal(worker: number): void {
    this.#workers[worker]?.signal();
  }

  #ready(): Actor | undefined {
    return this.#actors.find(({ ready }) => ready);
  }

  #interleave(): void {
    let last: Actor | undefined;
    for (let left = this.preemptions; ; ) {
      const others = this.#actors.filter((actor) => actor !== last && actor.ready);
      const goesOn = last?.ready === true;
      const choices = goesOn && left === 0 ? [] : others;
      if (goesOn && last !== undefined) choices.unshift(last);
      if (choices.length === 0) return;
      const next = choices[choices.length === 1 ? 0 : this.exhaust.choose(choices.length)];
      if (next === undefined) return;
      if (goesOn && next !== last) left--;
      last = next;
      this.#step(next);
    }
  }

  #step(actor: Actor): void {
    actor.step();
    if (actor.spins) return;
    for (const each of this.#actors) each.spins = false;
  }

  #live(call: LitmusCall): string {
    if (call.call === 'signal') throw new Error('only workers are signalled, by workers');
    const { result, log } = this.#main.begin(call);
    if (result instanceof Promise) throw new Error(`${call.call} sleeps before or after the workers`);
    return log(result);
  }
}

/** A worker: it makes its calls one after the other, and takes their steps. */
class WorkerActor implements Actor {
  readonly log: string[] = [];
  spins = false;
  #at = 0;
  #steps: Code | Also | undefined;
  #task: Task | undefined;
  #call: SystemCall | undefined;
  #finish: ((result: number | bigint) => string) | undefined;
  #result = 0;
  #sleeps = false;
  #gaveUp = false;

  constructor(
    private readonly calls: readonly LitmusCall[],
    readonly caller: Caller,
    private readonly run: Run,
  ) {}

  get ready(): boolean {
    if (this.#steps === undefined) return !this.#gaveUp && this.#at < this.calls.length;
    return !this.spins && !(this.#sleeps && this.#task?.state !== TASK_RUNNING);
  }

  step(): void {
    if (this.#steps === undefined) this.#begin();
    else this.#advance(this.#steps);
  }

  /** A signal that is caught: it ends the call that it finds. */
  signal(): void {
    if (this.#call !== undefined) this.#task?.signal();
  }

  /** It sleeps, and nobody is left to wake it. */
  giveUp(): void {
    if (this.#steps === undefined) return;
    this.#gaveUp = true;
    this.#task?.signal();
  }

  #begin(): void {
    const call = this.calls[this.#at++];
    if (call === undefined) return;
    if (call.call === 'signal') {
      this.run.signal(call.worker);
      return;
    }
    const { result, log } = this.caller.begin(call);
    const captured = this.run.captured();
    if (captured === undefined) {
      this.log.push(log(typeof result === 'object' ? 0 : result));
      return;
    }
    this.#task = captured.task;
    this.#call = captured.call;
    this.#finish = log;
    const steps = captured.call.start(captured.task);
    this.#steps = steps;
    this.#advance(steps);
  }

  #advance(steps: Code | Also): void {
    const next = steps.next();
    if (next.done !== true) {
      this.#stopped(next.value);
      return;
    }
    this.#sleeps = false;
    const { run } = this;
    let after: Also | undefined;
    if (this.#call !== undefined && this.#task !== undefined) {
      const raw = next.value ?? 0;
      this.#result = RESTARTS.includes(raw) ? -EINTR : raw;
      this.#task.signalPending = false;
      after = run.over(this.#task, this.#call, this.#result);
      this.#call = undefined;
    }
    this.#steps = after;
    if (after !== undefined) return;
    this.log.push(this.#gaveUp ? ASLEEP : (this.#finish?.(this.#result) ?? ''));
  }

  #stopped({ name }: { readonly name: string }): void {
    this.#sleeps = name === 'schedule';
    this.spins = name === 'cpu_relax';
  }
}

const TASK_RUNNING = 0;
const EINTR = 4;

/** What interrupts the processor that all interrupts go to. */
class InterruptActor implements Actor {
  spins = false;
  #flow: Also | undefined;

  constructor(
    private readonly machine: Machine,
    private readonly cpu: Cpu,
  ) {}

  get ready(): boolean {
    return this.#flow === undefined ? this.machine.cpus.requests > 0 : !this.spins;
  }

  step(): void {
    if (this.#flow === undefined) {
      const irq = this.cpu.take();
      if (irq === undefined) return;
      this.#flow = this.machine.irqs.handle(this.cpu, irq);
      if (this.#flow !== undefined) this.cpu.irqsOff++;
    }
    const next = this.#flow?.next();
    if (next === undefined) return;
    if (next.done !== true) {
      this.spins = next.value.name === 'cpu_relax';
      return;
    }
    this.cpu.irqsOff--;
    this.#flow = undefined;
  }
}

/** Nothing goes wrong, and every interrupt goes to one processor. */
function toProcessor(id: number): Oracle {
  return { asksAtSteps: false, choose: (_n, tag) => (tag === 'interrupt.route' ? id : 0) };
}

function litmusDevice(machine: Machine, edu: EduDevice): LitmusDevice {
  const [seat] = machine.pci.functions();
  if (seat?.line === undefined) throw new Error('edu is in no slot, or has no line');
  const write = (register: number, bits: number): void => {
    edu.write(register, bits, 4);
    machine.kick();
  };
  return {
    irq: seat.line.irq,
    address: seat.address,
    raise: (bits) => write(0x60, bits),
    acknowledge: (bits) => write(0x64, bits),
  };
}
