import type { Step } from '../kernel/step.ts';
import type { Actor } from './actor.ts';

/**
 * What a step reads and what it changes, as bits. Two steps that have nothing in common that one of them changes can be
 * swapped. A step that is not declared here has everything in common with every other.
 */
export interface Footprint {
  readonly reads: number;
  readonly writes: number;
}

/** An irq file's count and mask, with the lock that guards them. */
export const COUNT = 1;
/** Whether a line is disabled, and how deeply. */
export const MASK = 2;
/** The rest of a line: the device's pin, the controller, what has been sent to processors, the flow's bits. */
const PIN = 256;
/**
 * Who waits for a file. Joining and leaving are reads: their order among themselves makes no difference to anybody, as a
 * wake-up wakes all.
 */
export const QUEUE = 4;
/** The descriptors of the process, and the references to its files. */
const FILES = 8;
/** Sets of epoll, and what is ready in them. */
export const EPOLL = 16;
/** The state of the actor's own task, and of all tasks. */
const OWN_TASK = 32;
const ALL_TASKS = 64;

/** Where the bits of tasks start. */
const FIRST_TASK = 13;
const TASKS = (1 << 30) - (1 << FIRST_TASK);
const EVERYTHING: Footprint = { reads: -1, writes: -1 };

const READS_AT_RETURN = FILES;

/** By the step's name: what it reads, what it changes. */
const DECLARED: Readonly<Record<string, readonly [reads: number, writes: number]>> = {
  // The 2005 irq file and the 2.6.11 core.
  'I5.run': [PIN, 0],
  'I5.ran': [MASK, PIN],
  H1: [0, MASK | PIN],
  H2: [0, COUNT],
  H3: [0, QUEUE | ALL_TASKS | EPOLL],
  R1: [COUNT, 0],
  R2a: [MASK, 0],
  R2b: [0, MASK | PIN],
  R2c: [COUNT | READS_AT_RETURN, 0],
  R3a: [QUEUE, OWN_TASK],
  R3b: [COUNT, OWN_TASK],
  R3c: [0, OWN_TASK],
  R3d: [QUEUE | READS_AT_RETURN, OWN_TASK],
  R4: [READS_AT_RETURN, 0],
  R6: [READS_AT_RETURN, COUNT],
  Q0: [COUNT | READS_AT_RETURN | QUEUE, OWN_TASK | EPOLL],
  Q1: [MASK, 0],
  Q2: [0, MASK | PIN],
  Q3: [QUEUE, 0],
  Q4: [COUNT | READS_AT_RETURN | QUEUE, OWN_TASK | EPOLL],
  // The fixed irq file and the 6.1 core.
  handle_irq_event: [PIN, 0],
  'handle_irq_event.done': [MASK, PIN],
  'handler.lock': [0, COUNT | MASK | PIN],
  'handler.count': [0, COUNT],
  'handler.wake': [0, QUEUE | ALL_TASKS | EPOLL],
  drain: [READS_AT_RETURN, COUNT],
  copy: [READS_AT_RETURN, 0],
  'copy.undo': [READS_AT_RETURN, COUNT | QUEUE | ALL_TASKS],
  prepare_to_wait: [QUEUE, OWN_TASK],
  arm: [0, COUNT | MASK | PIN],
  look: [COUNT | READS_AT_RETURN | QUEUE, OWN_TASK | EPOLL],
  finish_wait: [COUNT | QUEUE | READS_AT_RETURN, OWN_TASK],
  poll_wait: [QUEUE, 0],
  // The scheduler, interrupts, devices.
  schedule: [READS_AT_RETURN | QUEUE, OWN_TASK | EPOLL],
  interrupt: [MASK, PIN],
  raise: [MASK, PIN],
  unacknowledged: [MASK, PIN],
  signal: [0, ALL_TASKS],
};

/** In user space, also after an acknowledgement: what the system call does before its first step in the kernel. */
const USER_CALLS = { reads: FILES, writes: OWN_TASK };

/**
 * The footprint of a step that an actor has taken.
 * @param place the actor's place among the threads, for its task's bit
 */
export function footprint(actor: Actor, step: Step, place: number): Footprint {
  const { name } = step;
  if (name === 'user' && actor.kind !== 'thread') return NOTHING;
  if (name === 'user' || name === 'ack') {
    if (!actor.plain) return EVERYTHING;
    const pin = name === 'ack' ? PIN : 0;
    return resolve(USER_CALLS.reads | (pin === 0 ? 0 : MASK), USER_CALLS.writes | pin, place);
  }
  const declared = DECLARED[name];
  return declared === undefined ? EVERYTHING : resolve(declared[0], declared[1], place);
}

const NOTHING: Footprint = { reads: 0, writes: 0 };

function resolve(reads: number, writes: number, place: number): Footprint {
  let [read, written] = [reads, writes & ~(OWN_TASK | ALL_TASKS)];
  if ((writes & OWN_TASK) !== 0) written |= 1 << (FIRST_TASK + place);
  if ((writes & ALL_TASKS) !== 0) written |= TASKS;
  // The invariants look at count and mask together: who changes one of them must not be swapped with who changes the other.
  if ((written & (COUNT | MASK)) !== 0) read |= COUNT | MASK;
  return { reads: read, writes: written };
}

export function conflict(a: Footprint, b: Footprint): boolean {
  return (a.writes & (b.reads | b.writes)) !== 0 || (b.writes & a.reads) !== 0;
}
