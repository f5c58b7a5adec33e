import {
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  type EpollEvent,
  type MaySleep,
  O_NONBLOCK,
  O_RDONLY,
  POLLIN,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { UsrdrvIrqFile } from '../kernel/irq-file-usrdrv.ts';
import { type Step, step } from '../kernel/step.ts';
import { type Program, until } from './actor.ts';
import type { ExploredThread } from './explored-thread.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import type { WatchedLine } from './watched-line.ts';
import type { World } from './world.ts';

/** What the operations of a run share. */
interface LitmusState {
  readonly world: World;
  readonly line: WatchedLine;
  /** The open irq file, and a set that watches it. */
  readonly fd: number;
  epfd: number;
}

/** One thing that a thread does. */
export interface Operation {
  readonly name: string;
  /** Others may come in before it: what is no system call has no step of the kernel. */
  readonly step?: Step;
  /** The system call; undefined where it is none. */
  act(t: ExploredThread, state: LitmusState): MaySleep | undefined;
  /** Whether it is done once more, after this result. */
  again?(result: number, state: LitmusState): boolean;
}

/** One thing that happens from outside. */
export interface Event {
  readonly name: string;
  readonly step: (state: LitmusState) => Step;
  act(state: LitmusState): void;
}

/** A small program: an open line, threads that do one thing after the other, devices that do something to it. */
export interface LitmusParts extends Omit<ThreadScenario, 'start'> {
  /** The line, and the flags that its file is opened with before the threads start. */
  readonly line: number;
  readonly flags?: number;
  readonly threads: Readonly<Record<string, readonly Operation[]>>;
  readonly devices?: Readonly<Record<string, readonly Event[]>>;
  /** Other lines that are opened too. */
  readonly also?: readonly number[];
}

/** A scenario whose programs are lists, so that shrinking can leave things out. */
export interface Litmus extends ThreadScenario {
  readonly parts: LitmusParts;
}

/** Makes a scenario of its parts. */
export function litmus(parts: LitmusParts): Litmus {
  const { line: irq, flags = O_RDONLY, also = [] } = parts;
  // Of the run that starts. Made once: a run takes only a little longer than to make closures for it.
  let state: LitmusState;
  const threads = Object.entries(parts.threads).map(([name, operations]) => ({
    name,
    program: (t: ExploredThread) => perform(t, operations, state),
  }));
  const devices = Object.entries(parts.devices ?? {}).map(([name, events]) => ({
    name,
    program: () => happen(events, state),
  }));
  return {
    ...parts,
    parts,
    start(world) {
      const line = world.line(irq);
      const fd = world.open(irq, flags);
      for (const other of also) world.open(other, flags);
      state = { world, line, fd, epfd: -1 };
      for (const { name, program } of threads) world.thread(name, program);
      for (const { name, program } of devices) world.device(name, program);
    },
  };
}

function* perform(t: ExploredThread, operations: readonly Operation[], state: LitmusState): Program {
  for (let at = 0; at < operations.length; at++) {
    const operation = operations[at];
    if (operation === undefined) continue;
    let result = 0;
    do {
      if (operation.step !== undefined) yield operation.step;
      const call = operation.act(t, state);
      if (call !== undefined) result = yield call;
    } while (operation.again?.(result, state) === true);
  }
}

function* happen(events: readonly Event[], state: LitmusState): Program {
  for (let at = 0; at < events.length; at++) {
    const event = events[at];
    if (event === undefined) continue;
    yield event.step(state);
    event.act(state);
  }
}

export const ACK = step('ack');

/** read(2) */
export const read: Operation = { name: 'read', act: (t, { fd }) => t.read(fd) };

/** read(2) into memory that is not there. */
export const readNowhere: Operation = { name: 'read into nowhere', act: (t, { fd }) => t.read(fd, NOWHERE) };
const NOWHERE: VirtualAddress = virtualAddress(0x1000);

/** read(2) until it fails, and the device is acknowledged each time. */
export const drain: Operation = {
  ...read,
  name: 'read until EAGAIN',
  again(result, { line }) {
    if (result === 4) line.lower();
    return result === 4;
  },
};

/** read(2), until it returns a count: what waits is somebody else's. */
export const readSome: Operation = { ...read, name: 'read until it has one', again: (result) => result < 0 };

/** The driver tells the device that it has seen the interrupt: the device lets a level line go. */
export const acknowledge: Operation = {
  name: 'acknowledge',
  step: ACK,
  act(_t, { line }) {
    line.lower();
    return undefined;
  },
};

/** poll(2) without end. */
export const poll: Operation = { name: 'poll', act: (t, { fd }) => t.poll([{ fd, events: POLLIN, revents: 0 }]) };

/** poll(2) for 10 ms. */
export const pollBriefly: Operation = {
  name: 'poll for 10 ms',
  act: (t, { fd }) => t.poll([{ fd, events: POLLIN, revents: 0 }], 10),
};

export const close: Operation = { name: 'close', act: (t, { fd }) => t.close(fd) };

/** open(2) of the line once more: the descriptor is the one that was closed. */
export const reopen: Operation = {
  name: 'open',
  act: (t, { line }) => t.open(`/proc/irq/${line.irq}/irq`, O_RDONLY | O_NONBLOCK),
};

function watch(events: number): Operation {
  return {
    name: 'epoll_ctl',
    act(t, state) {
      state.epfd = t.thread.epollCreate1(0);
      return t.epollCtl(state.epfd, EPOLL_CTL_ADD, state.fd, { events, data: 0 });
    },
  };
}

export const watchLevel = watch(EPOLLIN);
export const watchEdge = watch(EPOLLIN | EPOLLET);

/** epoll_wait(2) without end. */
export const epollWait: Operation = {
  name: 'epoll_wait',
  act(t, { epfd }) {
    const events: EpollEvent[] = [];
    return t.epollWait(epfd, events);
  },
};

/** The device asks for an interrupt: an edge, or an assertion until it is acknowledged, then the next. */
export const interrupt: Event = {
  name: 'interrupt',
  step: ({ line }) => (line.asserted ? until('unacknowledged', () => !line.asserted) : RAISE),
  act: ({ line }) => line.fire(),
};
export const RAISE = step('raise');

/** A signal with a handler arrives for a thread. */
export function signal(thread: string): Event {
  return {
    name: `signal ${thread}`,
    step: () => SIGNAL,
    act: ({ world }) => world.threads.find(({ name }) => name === thread)?.signal(),
  };
}
const SIGNAL = step('signal');

/** The device is pulled out: it holds its line no longer, and whoever reads hears of it (D13). */
export const unplug: Event = {
  name: 'unplug',
  step: () => UNPLUG,
  act({ line }) {
    line.lower();
    if (line.file instanceof UsrdrvIrqFile) line.file.remove();
  },
};
const UNPLUG = step('unplug');
