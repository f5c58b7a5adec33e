import {
  type EpollEvent,
  F_GETFL,
  F_SETFL,
  type MaySleep,
  O_ACCMODE,
  O_NONBLOCK,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  type PollFd,
  SIGUSR1,
  type UserThread,
} from '@usrdrv/core';
import type { EduBench, Target } from '../bench.ts';
import { showResult } from '../violation.ts';
import { PciExecutor } from './pci-executor.ts';
import { type Call, type CallOf, FOREIGN_FD, type Meanwhile } from './program.ts';
import { PLACES, ProgramMemory } from './program-memory.ts';

/** How long a call may be asleep after an interrupt before a signal ends it, in milliseconds. */
const WAKES_WITHIN_MS = 1;

/**
 * Runs a program in a fresh target's process.
 * @returns what each call logs: its result and what it handed out, in the words of the model
 */
export async function runProgram(target: Target, calls: readonly Call[]): Promise<string[]> {
  const executor = new Executor(target);
  const log: string[] = [];
  for (const call of calls) {
    const entry = executor.call(call);
    log.push(typeof entry === 'string' ? entry : await entry);
  }
  return log;
}

type Entry = string | Promise<string>;

class Executor {
  readonly #target: Target;
  readonly #parent: UserThread;
  readonly #edu: EduBench;
  /** The number of the first descriptor that was free. */
  readonly #firstFd: number;
  readonly #memory: ProgramMemory;
  readonly #pci: PciExecutor;
  #child: UserThread | undefined;
  #signals = 0;

  constructor(target: Target) {
    const { process } = target.kernel;
    if (target.bench.edu === undefined) throw new Error('random programs need an edu device');
    this.#target = target;
    this.#edu = target.bench.edu;
    this.#parent = process.thread;
    this.#firstFd = this.#parent.epollCreate1(0);
    this.#parent.close(this.#firstFd);
    this.#memory = new ProgramMemory(this.#parent);
    this.#pci = new PciExecutor(this.#edu, this.#memory);
    this.#sigaction(true);
  }

  call(call: Call): Entry {
    const thread = (call.child ? this.#child : undefined) ?? this.#parent;
    switch (call.call) {
      case 'open':
        return this.#fd(
          thread.open(call.path === 'irq' ? `/proc/irq/${this.#edu.irq}/irq` : '/proc/irq/9999/irq', call.flags),
        );
      case 'close':
        return showResult(thread.close(this.#real(call.fd)));
      case 'dup':
        return this.#fd(thread.dup(this.#real(call.fd)));
      case 'getfl': {
        const flags = thread.fcntl(this.#real(call.fd), F_GETFL);
        return flags < 0 ? showResult(flags) : `0${(flags & (O_ACCMODE | O_NONBLOCK)).toString(8)}`;
      }
      case 'setfl':
        return showResult(thread.fcntl(this.#real(call.fd), F_SETFL, call.flags));
      case 'read':
        return this.#read(thread, call);
      case 'write':
        return this.#now(thread.write(this.#real(call.fd), this.#memory.pointer(call.buf, PLACES.count), call.count));
      case 'poll':
        return this.#poll(thread, call);
      case 'select':
        return this.#select(thread, call);
      case 'epoll_create1':
        return this.#fd(thread.epollCreate1(call.flags));
      case 'epoll_ctl': {
        const event = { events: call.events, data: call.fd };
        return showResult(thread.epollCtl(this.#real(call.epfd), call.op, this.#real(call.fd), event));
      }
      case 'epoll_wait':
        return this.#epollWait(thread, call);
      case 'mmap':
        return this.#memory.mmap(call);
      case 'munmap':
        return this.#memory.munmap(call);
      case 'usr_pci_open':
        return this.#fd(this.#pci.open(thread, call));
      case 'usr_pci_get_consistent':
        return this.#pci.getConsistent(thread, this.#real(call.fd), call);
      case 'usr_pci_mmap':
        return this.#pci.mmap(thread, this.#real(call.fd), call);
      case 'usr_pci_munmap':
        return this.#pci.munmap(thread, this.#real(call.fd), call);
      case 'raise':
        return nothing(this.#edu.raise(call.bits));
      case 'acknowledge':
        return nothing(this.#edu.acknowledge(call.bits));
      case 'sigaction':
        return this.#sigaction(call.handle);
      case 'kill':
        return this.#kill();
      case 'fork':
        return this.#fork();
      case 'exit':
        this.#child?.exitGroup(0);
        this.#child = undefined;
        return '0';
      case 'observe':
        return this.#observe();
    }
  }

  // Files.

  #read(thread: UserThread, { fd, buf, count, meanwhile }: CallOf<'read'>): Entry {
    const view = this.#memory.view(thread);
    view.setInt32(PLACES.count, 0x5a5a_5a5a, true);
    const logged = (result: number): string =>
      result === 4 ? `4: ${view.getInt32(PLACES.count, true)}` : showResult(result);
    return this.#asleep(meanwhile, logged, (o) =>
      thread.read(this.#real(fd), this.#memory.pointer(buf, PLACES.count), count, o),
    );
  }

  #poll(thread: UserThread, { fds, timeout, meanwhile }: CallOf<'poll'>): Entry {
    const real: PollFd[] = fds.map(({ fd, events }) => ({ fd: this.#real(fd), events, revents: 0 }));
    const logged = (result: number): string =>
      result < 0 ? showResult(result) : `${result}: ${real.map(({ revents }) => revents).join(' ')}`;
    if (timeout > 0) return settled(thread.poll(real, timeout), logged);
    return this.#asleep(meanwhile, logged, (o) => thread.poll(real, timeout, o));
  }

  #select(thread: UserThread, { read, timeout, meanwhile }: CallOf<'select'>): Entry {
    const sets = { read: new Set(read.map((fd) => this.#real(fd))) };
    const logged = (result: number): string => {
      if (result < 0) return showResult(result);
      const ready = [...sets.read].sort((a, b) => a - b).map((fd) => fd - this.#firstFd);
      return `${result}: ${ready.join(' ')}`;
    };
    if (timeout > 0) return settled(thread.select(sets, timeout), logged);
    return this.#asleep(meanwhile, logged, (o) => thread.select(sets, timeout < 0 ? undefined : timeout, o));
  }

  #epollWait(thread: UserThread, { epfd, maxevents, timeout, meanwhile }: CallOf<'epoll_wait'>): Entry {
    const events: EpollEvent[] = [];
    const logged = (result: number): string => {
      if (result < 0) return showResult(result);
      return `${result}: ${events
        .map(({ data }) => data)
        .sort((a, b) => a - b)
        .join(' ')}`;
    };
    const fd = this.#real(epfd);
    if (timeout > 0) return settled(thread.epollWait(fd, events, maxevents, timeout), logged);
    return this.#asleep(meanwhile, logged, (o) => thread.epollWait(fd, events, maxevents, timeout, o));
  }

  /** A call that may sleep: what ends it then. */
  #asleep(
    meanwhile: Meanwhile,
    logged: (result: number) => string,
    call: (o: { readonly signal: AbortSignal }) => MaySleep,
  ): Entry {
    const interrupt = new AbortController();
    const result = call({ signal: interrupt.signal });
    return typeof result === 'number' ? logged(result) : this.#end(result, meanwhile, interrupt).then(logged);
  }

  async #end(sleeping: Promise<number>, meanwhile: Meanwhile, interrupt: AbortController): Promise<number> {
    if (meanwhile === 'raise') {
      await this.#edu.raise(1);
      const late = new AbortController();
      const timeout = this.#target.kernel.clock.sleep(WAKES_WITHIN_MS, { signal: late.signal }).catch(() => {});
      const woken = await Promise.race([sleeping, timeout]);
      late.abort();
      if (typeof woken === 'number') return woken;
    }
    interrupt.abort();
    return sleeping;
  }

  #now(result: MaySleep): Entry {
    return settled(result, showResult);
  }

  #fd(result: number): string {
    return result < 0 ? showResult(result) : `fd ${result - this.#firstFd}`;
  }

  /** The process's number of a program's descriptor. */
  #real(fd: number): number {
    return fd < 0 || fd >= FOREIGN_FD ? fd : fd + this.#firstFd;
  }

  // Signals and processes.

  #sigaction(handle: boolean): string {
    const action = handle ? { handler: () => void this.#signals++, flags: 0 } : { flags: 0 };
    return showResult(this.#parent.sigaction(SIGUSR1, action));
  }

  #kill(): string {
    const before = this.#signals;
    const result = this.#parent.kill(this.#parent.process, SIGUSR1);
    return `${showResult(result)}: ${this.#signals > before ? 'handled' : 'ignored'}`;
  }

  #fork(): string {
    const child = this.#parent.fork();
    if (typeof child === 'number') return showResult(child);
    this.#child = child;
    return '0';
  }

  #observe(): string {
    const { files } = this.#target.kernel;
    const lines = new TextDecoder().decode(files.readFileSync('/proc/interrupts')).split('\n');
    const line = lines.map((each) => each.trim()).find((each) => each.startsWith(`${this.#edu.irq}:`)) ?? '';
    let taken = 0;
    for (const column of line.split(/\s+/).slice(1)) {
      if (!/^\d+$/.test(column)) break;
      taken += Number(column);
    }
    const config = files.readFileSync(`/sys/bus/pci/devices/${this.#edu.address}/config`);
    const master = ((config[PCI_COMMAND] ?? 0) & PCI_COMMAND_MASTER) !== 0;
    return `${taken} interrupts${master ? ', bus master' : ''}`;
  }
}

function settled(result: MaySleep, logged: (result: number) => string): Entry {
  return typeof result === 'number' ? logged(result) : result.then(logged);
}

function nothing(settles: void | Promise<void>): Entry {
  return settles instanceof Promise ? settles.then(() => '') : '';
}
