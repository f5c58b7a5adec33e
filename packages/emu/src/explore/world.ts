import {
  type EpollEvent,
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  type MaySleep,
  O_RDONLY,
  PAGE_SIZE,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { FileOperations } from '../kernel/file.ts';
import { IRQ_DISABLED, IRQ_LEVEL, type IrqDesc } from '../kernel/irq-desc.ts';
import { ChubbIrqFile } from '../kernel/irq-file-chubb.ts';
import { UsrdrvIrqFile } from '../kernel/irq-file-usrdrv.ts';
import { Process } from '../kernel/process.ts';
import type { Thread } from '../kernel/syscalls.ts';
import { TASK_RUNNING, type Task } from '../kernel/task.ts';
import type { IrqLine } from '../machine/irq-line.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import { Actor, type Program, TAKE } from './actor.ts';
import type { ChoiceTag, Oracle } from './oracle.ts';

/** An open irq file, of either profile. */
export type IrqFile = ChubbIrqFile | UsrdrvIrqFile;

function isIrqFile(ops: unknown): ops is IrqFile {
  return ops instanceof ChubbIrqFile || ops instanceof UsrdrvIrqFile;
}

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
  #warnings = 0;

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
    for (const line of this.lines) if (line.irq === irq) return line;
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

  /** Whether a count, a mask, a depth or the kernel's list of warnings is not as it was when this was asked last. */
  linesChanged(): boolean {
    const { lines } = this;
    const { length } = this.machine.irqs.warnings;
    let changed = length !== this.#warnings;
    this.#warnings = length;
    for (let at = 0; at < lines.length; at++) if (lines[at]?.changed() === true) changed = true;
    return changed;
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
    for (const { actor } of this.threads) {
      if (actor.call !== undefined) process.leave();
      actor.reset(undefined);
    }
    for (const actor of this.devices) actor.reset(undefined);
    if (fileTable.count > 0) {
      process.files.removeAll();
      fileTable.count = 0;
    }
    cpus.locks = 0;
    for (const cpu of cpus.all) {
      cpu.irqsOff = 0;
      while (cpu.take() !== undefined);
    }
    for (const actor of this.interrupts) {
      actor.reset(undefined);
      actor.done = false;
      actor.at = TAKE;
    }
    for (const line of this.lines) {
      line.reset();
      chip.mask(line.irq);
      chip.eoi(line.irq);
    }
    if (irqs.warnings.length > 0) irqs.warnings.length = 0;
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

/** Asks the run for what the scenario leaves open; everything else is calm. */
class WorldOracle implements Oracle {
  readonly asksAtSteps = false;
  asked: { choose(n: number, tag: ChoiceTag): number } | undefined = undefined;

  constructor(private readonly tags: readonly ChoiceTag[]) {}

  choose(n: number, tag: ChoiceTag): number {
    return this.asked === undefined || !this.tags.includes(tag) ? 0 : this.asked.choose(n, tag);
  }
}

/** A thread of a scenario: its system calls, made with buffers of its own. */
export class ExploredThread {
  /** A page of memory. */
  readonly buf: VirtualAddress;
  readonly #values: Int32Array;
  /** What its reads gave, in order: the count that was read, or -errno. */
  readonly results: number[] = [];
  /** The file that it reads from now; null where there is none, undefined in no read. */
  reading: FileOperations | null | undefined = undefined;

  constructor(
    readonly thread: Thread,
    readonly task: Task,
    readonly actor: Actor,
  ) {
    const prot = PROT_READ | PROT_WRITE;
    const buf = thread.mmap(virtualAddress(0), PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (typeof buf === 'number') throw new Error(`mmap: ${buf}`);
    this.buf = buf;
    const bytes = thread.process.bytes(buf, PAGE_SIZE);
    this.#values = new Int32Array(bytes.buffer, bytes.byteOffset, 1);
  }

  get name(): string {
    return this.actor.name;
  }

  /** The count that the last read put into memory. */
  get value(): number {
    return this.#values[0] ?? 0;
  }

  reset(): void {
    // To set the length of an array takes longer than to empty a short one.
    while (this.results.length > 0) this.results.pop();
    this.reading = undefined;
    this.task.state = TASK_RUNNING;
    this.task.signalPending = false;
  }

  /** A signal with a handler: in user space the handler runs at once; a system call that sleeps ends. */
  signal(): void {
    if (this.actor.call !== undefined) this.task.signal();
  }

  /** Any system call. */
  call(make: (thread: Thread) => MaySleep): MaySleep {
    this.actor.plain = false;
    return make(this.thread);
  }

  open(path: string, flags = O_RDONLY): MaySleep {
    return this.call((thread) => thread.open(path, flags));
  }

  close(fd: number): MaySleep {
    return this.call((thread) => thread.close(fd));
  }

  /** read(2) of an irq file. */
  read(fd: number, buf = this.buf): MaySleep {
    this.actor.plain = true;
    this.reading = this.thread.process.files.get(fd)?.ops ?? null;
    return this.thread.read(fd, buf, 4);
  }

  poll(fds: readonly PollFd[], timeoutMs = -1): MaySleep {
    this.actor.plain = timeoutMs < 0;
    return this.thread.poll(fds, timeoutMs);
  }

  epollCtl(epfd: number, op: number, fd: number, event: EpollEvent): MaySleep {
    return this.call((thread) => thread.epollCtl(epfd, op, fd, event));
  }

  epollWait(epfd: number, events: EpollEvent[], timeoutMs = -1): MaySleep {
    return this.call((thread) => thread.epollWait(epfd, events, 8, timeoutMs));
  }
}

/** No status that a line has. */
const NEVER = -1;

/** A line, and the books about what happened to its interrupts. */
export class WatchedLine {
  /** Interrupts that devices asked for: edges, or assertions of a line that was not held. */
  raised = 0;
  /** Of those, what the handler has counted, what reads have returned. */
  delivered = 0;
  returned = 0;
  /** A device asked; since then no handler has counted, and the kernel has not dropped it in so many words. */
  waiting = false;
  #owner: object | undefined = undefined;
  #file: IrqFile | undefined = undefined;
  /** As it was when it was looked at last. */
  #status = NEVER;
  #count = 0;
  #depth = 0;
  #seen: IrqFile | undefined = undefined;

  constructor(
    readonly irq: number,
    readonly desc: IrqDesc,
    private readonly wire: IrqLine,
  ) {}

  /** The file that has the line, where one has. */
  get file(): IrqFile | undefined {
    const devId = this.desc.actions[0]?.devId;
    if (devId !== this.#owner) {
      this.#owner = devId;
      this.#file = isIrqFile(devId) ? devId : undefined;
    }
    return this.#file;
  }

  /** Whether the count, the mask or the depth is not as it was when this was asked last. */
  changed(): boolean {
    const { desc, file } = this;
    const count = file === undefined ? 0 : file.count;
    if (desc.status === this.#status && count === this.#count && desc.depth === this.#depth && file === this.#seen) {
      return false;
    }
    this.#status = desc.status;
    this.#count = count;
    this.#depth = desc.depth;
    this.#seen = file;
    return true;
  }

  get asserted(): boolean {
    return this.wire.asserted;
  }

  /** A device holds the line. */
  raise(): void {
    const before = this.wire.asserted;
    this.wire.raise(this);
    this.held(before);
  }

  /** A driver has acknowledged the device, which lets the line go. */
  lower(): void {
    const before = this.wire.asserted;
    this.wire.lower(this);
    this.held(before);
  }

  /** Keeps the books of what a device has just done to the line. */
  held(before: boolean): void {
    const { asserted } = this.wire;
    if (asserted && !before) this.raised++;
    if (asserted !== before) this.waiting = asserted;
  }

  /** The handler has counted one up. */
  counted(): void {
    this.delivered++;
    this.waiting = false;
  }

  /** Whoever has the line next hears nothing of what came before. */
  dropped(): void {
    this.waiting = false;
    if (this.file === undefined) this.delivered = this.returned;
  }

  /** One edge. */
  pulse(): void {
    this.raised++;
    this.waiting = true;
    this.wire.raise(this);
    this.wire.lower(this);
  }

  /** An interrupt as its device makes it: one edge, or an assertion until it is acknowledged. */
  fire(): void {
    if (this.desc.level) this.raise();
    else this.pulse();
  }

  reset(): void {
    this.raised = 0;
    this.delivered = 0;
    this.returned = 0;
    this.waiting = false;
    this.#status = NEVER;
    if (this.wire.asserted) this.wire.lower(this);
    const { desc } = this;
    desc.status = (desc.status & IRQ_LEVEL) | IRQ_DISABLED;
    desc.depth = 1;
    if (desc.actions.length > 0) desc.actions.length = 0;
    desc.irqCount = 0;
    desc.irqsUnhandled = 0;
  }
}
