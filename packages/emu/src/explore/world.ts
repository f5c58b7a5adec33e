import { type KernelProfile, O_RDONLY } from '@usrdrv/core';
import type { FileOperations } from '../kernel/file.ts';
import { ChubbIrqFile } from '../kernel/irq-file-chubb.ts';
import { UsrdrvIrqFile } from '../kernel/irq-file-usrdrv.ts';
import { Process } from '../kernel/process.ts';
import type { Thread } from '../kernel/syscalls.ts';
import type { Task } from '../kernel/task.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import { Actor, type Program, TAKE } from './actor.ts';
import { ExploredThread } from './explored-thread.ts';
import type { ChoiceTag, Oracle } from './oracle.ts';
import { WatchedLine } from './watched-line.ts';

/**
 * A machine whose threads, devices and interrupts are stepped one by one. It is made once and used for run after run:
 * between two runs the lines are as after power-on, and nothing is open.
 */
export class World {
  readonly machine: Machine;
  readonly oracle: WorldOracle;
  readonly threads: ExploredThread[] = [];
  readonly devices: Actor[] = [];
  readonly interrupts: readonly Actor[];
  readonly clock: Actor;
  readonly lines: WatchedLine[] = [];
  /** What runs the programs. */
  runner: { straight(actor: Actor, program: Program): void } | undefined = undefined;
  /** All of them; an actor's `id` is its place here. */
  readonly actors: Actor[] = [];
  #threadsUsed = 0;
  #devicesUsed = 0;

  constructor(
    kernel: KernelProfile,
    o: Omit<MachineOptions, 'kernel' | 'oracle' | 'trace'>,
    tags: readonly ChoiceTag[],
  ) {
    this.oracle = new WorldOracle(tags);
    this.machine = new Machine({ comm: 'driver', ...o, kernel, oracle: this.oracle });
    this.interrupts = this.machine.cpus.all.map((cpu) => this.#actor('interrupt', `irq/cpu${cpu.id}`, cpu, undefined));
    this.clock = this.#actor('clock', 'clock', undefined, undefined);
    const { irqs } = this.machine;
    const forgetEdge = irqs.forgetEdge.bind(irqs);
    irqs.forgetEdge = (irq) => {
      for (const line of this.lines) if (line.irq === irq) line.dropped();
      forgetEdge(irq);
    };
  }

  /** A thread of the process, on the processors in turn, with a program to run. */
  thread(name: string, program: (t: ExploredThread) => Program): ExploredThread {
    const thread = this.threads[this.#threadsUsed++] ?? this.#newThread(name);
    thread.reset();
    thread.actor.reset(program(thread));
    return thread;
  }

  /** A process with one thread, forked from the first one as it is now. For scenarios whose runs are `fresh`. */
  process(name: string, program: (t: ExploredThread) => Program): ExploredThread {
    this.#threadsUsed++;
    const thread = this.#explored(name, this.machine.kernel.process.fork());
    thread.actor.reset(program(thread));
    return thread;
  }

  /** Runs a program of a thread calmly, before the run begins or when nobody can go on; interrupts are taken at once. */
  straight(thread: ExploredThread, program: (t: ExploredThread) => Program): void {
    this.runner?.straight(thread.actor, program(thread));
  }

  /** A device, or whoever else acts on the machine from outside. */
  device(name: string, program: () => Program): void {
    const actor = this.devices[this.#devicesUsed++] ?? this.#actor('device', name, undefined, undefined);
    if (this.devices.length < this.#devicesUsed) this.devices.push(actor);
    actor.reset(program());
  }

  /** An interrupt line that devices of the scenario drive. */
  line(irq: number): WatchedLine {
    const { lines } = this;
    for (let at = 0; at < lines.length; at++) {
      const line = lines[at];
      if (line?.irq === irq) return line;
    }
    return this.#newLine(irq);
  }

  /** The line that a file is open for. */
  lineOf(file: FileOperations | null): WatchedLine | undefined {
    const { lines } = this;
    for (let at = 0; at < lines.length; at++) if (lines[at]?.file === file) return lines[at];
    return undefined;
  }

  #newLine(irq: number): WatchedLine {
    const { machine } = this;
    const desc = machine.irqs.desc(irq);
    if (desc === undefined) throw new RangeError(`the machine has no line ${irq}`);
    const line = new WatchedLine(irq, desc, machine.line(irq));
    this.lines.push(line);
    return line;
  }

  /** The irq file of a line, open before the threads start. The descriptor, or -errno. */
  open(irq: number, flags = O_RDONLY): number {
    const { desc } = this.line(irq);
    const { kernel, irqs, trace } = this.machine;
    const { process, fileTable, profile } = kernel;
    const file =
      profile === 'chubb-2.6.11' ? new ChubbIrqFile(irqs, desc, trace) : new UsrdrvIrqFile(irqs, desc, trace);
    const error = file.claim(process.comm);
    if (error < 0) return error;
    const fd = process.files.unused();
    if (fd >= 0) process.files.install(fd, fileTable.create(file, flags));
    return fd;
  }

  /** Something is left of the last run that {@link reset} cannot undo: a timer, a report. */
  get spoilt(): boolean {
    return this.machine.clock.pending || this.machine.dmaDebug.reports.length > 0;
  }

  /** As before the first run, also where the last one was given up on the way. */
  reset(): void {
    this.#threadsUsed = 0;
    this.#devicesUsed = 0;
    const { cpus, chip, irqs, kernel } = this.machine;
    const { process, fileTable } = kernel;
    for (let at = 0; at < this.threads.length; at++) this.#endThread(this.threads[at]?.actor);
    for (let at = 0; at < this.devices.length; at++) this.devices[at]?.reset(undefined);
    if (fileTable.count > 0) {
      process.files.removeAll();
      fileTable.count = 0;
    }
    cpus.locks = 0;
    for (let at = 0; at < this.interrupts.length; at++) quiet(this.interrupts[at]);
    for (const line of this.lines) {
      line.reset();
      chip.mask(line.irq);
      chip.eoi(line.irq);
    }
    while (irqs.warnings.length > 0) irqs.warnings.pop();
  }

  #endThread(actor: Actor | undefined): void {
    if (actor?.call !== undefined) this.machine.kernel.process.leave();
    actor?.reset(undefined);
  }

  #newThread(name: string): ExploredThread {
    const { process } = this.machine.kernel;
    return this.#explored(name, this.threads.length === 0 ? process.thread : process.clone());
  }

  #explored(name: string, made: Thread | Process | number): ExploredThread {
    const thread = made instanceof Process ? made.thread : made;
    const task = typeof thread === 'number' ? undefined : thread.tasks[0];
    if (typeof thread === 'number' || task === undefined) throw new Error(`no thread: ${String(thread)}`);
    const explored = new ExploredThread(thread, task, this.#actor('thread', name, task.cpu, task));
    this.threads.push(explored);
    return explored;
  }

  #actor(kind: Actor['kind'], name: string, cpu: Actor['cpu'], task: Task | undefined): Actor {
    const actor = new Actor(this.actors.length, kind, name, cpu, task);
    this.actors.push(actor);
    return actor;
  }
}

/** A processor takes no interrupt, and none waits for it. */
function quiet(actor: Actor | undefined): void {
  if (actor?.cpu === undefined) return;
  actor.cpu.irqsOff = 0;
  while (actor.cpu.take() !== undefined);
  actor.reset(undefined);
  actor.done = false;
  actor.at = TAKE;
}

/** Asks the run for what the scenario leaves open; everything else is calm. */
class WorldOracle implements Oracle {
  readonly asksAtSteps = false;
  asked: { choose(n: number, tag: ChoiceTag): number } | undefined = undefined;

  constructor(private readonly tags: readonly ChoiceTag[]) {}

  choose(n: number, tag: ChoiceTag): number {
    return this.asked === undefined || !this.#isOpen(tag) ? 0 : this.asked.choose(n, tag);
  }

  /** Most scenarios leave one thing open. */
  #isOpen(tag: ChoiceTag): boolean {
    const { tags } = this;
    return tags.length === 1 ? tags[0] === tag : tags.includes(tag);
  }
}
