import {
  type Backend,
  EAGAIN,
  ENOMEM,
  type ErrnoCode,
  type FdSets,
  type IrqSource,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  type MaySleep,
  O_RDONLY,
  PAGE_SIZE,
  type PciDevice,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  type UserModeKernel,
  type UserProcess,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { Bench, EduBench, Target } from './bench.ts';
import type { RuleId } from './rules.ts';
import { RuleViolation, same, show, showResult } from './violation.ts';

/** How long something that has to happen may take, in milliseconds of the kernel's clock. */
const SOON_MS = 2000;
/** How long to watch that something does not happen. */
const WHILE_MS = 20;

/** Where {@link Context.edge} maps memory: far below what mmap(2) chooses, far above where a program is. */
const FAR_AWAY = 0x10_0000_0000n;
const APART = 0x100_0000n;

/** Errors of the interfaces, by the name that tells them apart: a {@link SystemError}'s code, else the class. */
export type ErrorName = ErrnoCode | 'RangeError' | 'TypeError';

/** A call that sleeps. */
export interface Sleeper<T> {
  readonly call: Promise<T>;
  /** Waits for it to end, which has to be soon. */
  ends(): Promise<T>;
  /** It sleeps on. */
  sleepsOn(what: string): Promise<void>;
}

/** What a case works with: the target, assertions that name the rule, and system calls in few words. */
export class Context {
  readonly kernel: UserModeKernel;
  readonly backend: Backend;
  readonly bench: Bench;
  /** The process that the suite runs as, and its thread. */
  readonly process: UserProcess;
  readonly thread: UserThread;
  /** See {@link Target.asksDeviceAtUnmask}. */
  readonly asksDeviceAtUnmask: boolean;
  readonly #vector: number | undefined;
  #edges = 0;

  constructor(
    readonly rule: RuleId,
    target: Target,
    /** Runs random programs, each on a target of its own. */
    readonly checkPrograms: () => Promise<void>,
  ) {
    this.kernel = target.kernel;
    this.backend = target.backend;
    this.bench = target.bench;
    this.process = target.kernel.process;
    this.thread = target.kernel.process.thread;
    this.asksDeviceAtUnmask = target.asksDeviceAtUnmask ?? false;
    this.#vector = target.vector;
  }

  // Assertions.

  /** Compares by value; arrays, sets and bytes by their members. */
  equal(got: unknown, expected: unknown, what: string): void {
    if (!same(got, expected)) throw new RuleViolation(this.rule, what, show(expected), show(got));
  }

  /** Compares the results of system calls: numbers, of which negative ones are errors. */
  result(got: number | bigint, expected: number | bigint, what: string): void {
    if (got !== expected) throw new RuleViolation(this.rule, what, showResult(expected), showResult(got));
  }

  ok(holds: boolean, what: string): void {
    if (!holds) throw new RuleViolation(this.rule, what, 'true', 'false');
  }

  /** A descriptor, a count, an address: anything but an error. */
  succeeds<T extends number | bigint>(got: T, what: string): T {
    if (got < 0) throw new RuleViolation(this.rule, what, 'success', showResult(got));
    return got;
  }

  throws(name: ErrorName, what: string, act: () => unknown): void {
    let value: unknown;
    try {
      value = act();
    } catch (error) {
      this.#error(error, name, what);
      return;
    }
    throw new RuleViolation(this.rule, what, name, show(value));
  }

  /** The promise rejects soon. `act` itself may throw as well. */
  async rejects(name: ErrorName, what: string, act: () => Promise<unknown>): Promise<void> {
    let value: unknown;
    try {
      value = await this.soon(act(), what);
    } catch (error) {
      if (error instanceof RuleViolation) throw error;
      this.#error(error, name, what);
      return;
    }
    throw new RuleViolation(this.rule, what, name, show(value));
  }

  #error(error: unknown, name: ErrorName, what: string): void {
    const got =
      error instanceof SystemError ? error.code : error instanceof Error ? error.constructor.name : typeof error;
    if (got !== name) throw new RuleViolation(this.rule, what, name, `${got} (${show(error)})`);
  }

  // Waiting.

  /** Waits for something that has to happen soon. */
  async soon<T>(value: T | Promise<T>, what: string): Promise<T> {
    if (!(value instanceof Promise)) return value;
    const ended = await this.#within(value, SOON_MS);
    if (ended === undefined) throw new RuleViolation(this.rule, what, 'an end', 'still asleep');
    return ended.value;
  }

  /** The call goes to sleep. */
  async sleeps<T>(call: MaySleep<T>, what: string): Promise<Sleeper<T>> {
    if (!(call instanceof Promise)) throw new RuleViolation(this.rule, what, 'sleep', show(call));
    const sleepsOn = async (where: string): Promise<void> => {
      const ended = await this.#within(call, WHILE_MS);
      if (ended !== undefined) throw new RuleViolation(this.rule, where, 'sleep', show(ended.value));
    };
    await sleepsOn(what);
    return { call, ends: () => this.soon(call, `${what}, woken`), sleepsOn };
  }

  async #within<T>(promise: Promise<T>, ms: number): Promise<{ readonly value: T } | undefined> {
    const enough = new AbortController();
    const late = this.kernel.clock.sleep(ms, { signal: enough.signal }).then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([promise.then((value) => ({ value })), late]);
    } finally {
      enough.abort();
    }
  }

  // Memory of the process.

  /** Maps fresh anonymous memory. */
  memory(pages = 1, prot = PROT_READ | PROT_WRITE, thread = this.thread): VirtualAddress {
    const address = thread.mmap(virtualAddress(0), pages * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (typeof address === 'number') throw new RuleViolation(this.rule, 'mmap', 'an address', showResult(address));
    return address;
  }

  /**
   * An address with `pages` pages of mapped memory in front of it, and nothing mapped behind: it lies where no kernel
   * puts what it is free to place, so that nothing ever fills the hole.
   */
  edge(pages = 1): VirtualAddress {
    const start = virtualAddress(FAR_AWAY + BigInt(this.#edges++) * APART);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const address = this.thread.mmap(start, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0n);
    this.result(address, start, 'mmap with MAP_FIXED');
    return at(start, pages * PAGE_SIZE);
  }

  /** The bytes there, as numbers of the processor's order. */
  view(address: VirtualAddress, length: number, process = this.process): DataView {
    const bytes = process.bytes(address, length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  /** A new process, as its thread. */
  fork(): UserThread {
    const child = this.thread.fork();
    if (typeof child === 'number') throw new RuleViolation(this.rule, 'fork', 'a child', showResult(child));
    return child;
  }

  /**
   * Makes a call again and again, and lets another of its allocations fail each time, which is ENOMEM: up to the first that
   * it can do without, or the last. From there on other parts of a kernel may be at work, which bear it less well.
   * @param undo what the call did when it could do without
   * @returns what the call returns when no allocation fails
   */
  eachAllocationFails(what: string, call: () => number, undo: (result: number) => void): number {
    for (let nth = 1; ; nth++) {
      this.faults.failAllocation(nth);
      const result = call();
      if (!this.faults.allocationFailed()) return result;
      if (result >= 0) {
        undo(result);
        return call();
      }
      this.result(result, -ENOMEM, `${what} whose allocation ${nth} fails`);
    }
  }

  failDmaMapping(): void {
    promised(this.faults.failDmaMapping?.bind(this.faults), 'failing-dma-mappings')();
  }

  failEnable(): void {
    promised(this.faults.failEnable?.bind(this.faults), 'failing-enables')();
  }

  /**
   * The count of an interrupt that the last call let through. Where another processor may take it, it may be late: the next
   * read has it.
   */
  async countLetThrough(fd: number): Promise<number> {
    const count = await this.count(fd);
    if (count !== -EAGAIN || this.bench.settle === undefined) return count;
    await this.bench.settle();
    return this.count(fd);
  }

  /** The same for poll(2): its revents. */
  async pollLetThrough(fd: number, events: number): Promise<number> {
    const revents = await this.poll(fd, events);
    if (revents !== 0 || this.bench.settle === undefined) return revents;
    await this.bench.settle();
    return this.poll(fd, events);
  }

  // The irq file.

  irqPath(irq = this.edu.irq): string {
    return `/proc/irq/${irq}/irq`;
  }

  openIrq(flags = O_RDONLY, irq = this.edu.irq): number {
    return this.succeeds(this.thread.open(this.irqPath(irq), flags), `open ${this.irqPath(irq)}`);
  }

  /** Reads a count: the count (which may have to be waited for), or -errno. */
  async count(fd: number, thread = this.thread): Promise<number> {
    return this.soon(this.startCount(fd, thread), 'a read that has something to return');
  }

  /** The same, as the call itself: at once or later. */
  startCount(fd: number, thread = this.thread): MaySleep {
    const buf = this.memory(1, PROT_READ | PROT_WRITE, thread);
    const taken = (result: number): number =>
      result === 4 ? this.view(buf, 4, thread.process).getInt32(0, true) : result;
    const result = thread.read(fd, buf, 4);
    return typeof result === 'number' ? taken(result) : result.then(taken);
  }

  /** How many interrupts of the line the processors have taken, as /proc/interrupts has it; 0 where it is not listed. */
  taken(irq = this.edu.irq): number {
    const columns = this.interruptsLine(irq).split(/\s+/).slice(1);
    const end = columns.findIndex((column) => !/^\d+$/.test(column));
    return columns.slice(0, end < 0 ? undefined : end).reduce((sum, column) => sum + Number(column), 0);
  }

  /** What /proc/interrupts says of the line, from its number to the names of those who claimed it; else empty. */
  interruptsLine(irq = this.edu.irq): string {
    const text = new TextDecoder().decode(this.kernel.files.readFileSync('/proc/interrupts'));
    const lines = text.split('\n').map((line) => line.trim());
    return lines.find((line) => line.startsWith(`${irq}:`)) ?? '';
  }

  /** poll(2) of one descriptor: its revents, 0 on timeout, or -errno. */
  async poll(fd: number, events: number, timeoutMs = 0): Promise<number> {
    const fds: PollFd[] = [{ fd, events, revents: 0 }];
    const result = await this.soon(this.thread.poll(fds, timeoutMs), 'poll');
    return result < 0 ? result : (fds[0]?.revents ?? 0);
  }

  /** select(2) for reading: which of the descriptors are ready, or -errno. */
  async select(fds: readonly number[], timeoutMs: number | undefined = 0): Promise<Set<number> | number> {
    const sets: FdSets = { read: new Set(fds) };
    const result = await this.soon(this.thread.select(sets, timeoutMs), 'select');
    return result < 0 ? result : (sets.read ?? new Set());
  }

  // The bench.

  get edu(): EduBench {
    return promised(this.bench.edu, 'edu');
  }
  /** Opens a device's interrupt: its INTx line, or an MSI vector where the target says so. */
  irqOf(device: PciDevice): IrqSource {
    return device.irq(this.#vector);
  }
  get secondEdu(): EduBench {
    return promised(this.bench.secondEdu, 'second-edu');
  }
  get lines(): NonNullable<Bench['lines']> {
    return promised(this.bench.lines, 'lines');
  }
  get kernelDriver(): NonNullable<Bench['kernelDriver']> {
    return promised(this.bench.kernelDriver, 'kernel-driver');
  }
  get faults(): NonNullable<Bench['faults']> {
    return promised(this.bench.faults, 'failing-allocations');
  }
  get accounting(): NonNullable<Bench['accounting']> {
    return promised(this.bench.accounting, 'accounting');
  }
  desc(irq: number): NonNullable<ReturnType<NonNullable<Bench['irqDesc']>>> {
    const { bench } = this;
    return promised(promised(bench.irqDesc?.bind(bench), 'irq-desc')(irq), `irq-desc of ${irq}`);
  }
  warnings(): readonly string[] {
    return promised(this.bench.warnings?.(), 'warnings');
  }
  frames(): number {
    return promised(this.bench.frames?.(), 'frames');
  }
  dmaReports(): readonly string[] {
    return promised(this.bench.dmaReports?.(), 'dma-debugging').map(({ what }) => what);
  }
}

/** The address so many bytes on. */
export function at(address: VirtualAddress, offset: number): VirtualAddress {
  return virtualAddress(address + BigInt(offset));
}

function promised<T>(value: T | undefined, ability: string): T {
  if (value === undefined)
    throw new Error(`the bench neither has nor misses '${ability}', or the case does not say that it needs it`);
  return value;
}
