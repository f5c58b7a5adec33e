import { O_NONBLOCK, O_RDONLY } from '@usrdrv/core';
import {
  acknowledge,
  close,
  drain,
  epollWait,
  interrupt,
  litmus,
  poll,
  pollBriefly,
  read,
  readNowhere,
  readSome,
  reopen,
  signal,
  unplug,
  watchEdge,
  watchLevel,
} from './litmus.ts';
import { lineOfADisk, twoDrivers } from './machine-scenarios.ts';
import type { ThreadScenario } from './thread-scenario.ts';

/** Lines of the I/O APIC: PCI's are level-triggered, the ISA ones below edge-triggered. */
const LEVEL = 16;
const EDGE = 10;

const ONE_PROCESSOR = { processors: 1 };
const NONBLOCKING = O_RDONLY | O_NONBLOCK;

const PUT_BACK = {
  invariant: 'masked while pending',
  because: 'a count that could not be copied is put back, after another reader may have let the line through',
};

/** The scenarios that come with the explorer. */
export const SCENARIOS: readonly ThreadScenario[] = [
  litmus({
    name: 'one-reader',
    about: 'one reader, one processor, two interrupts of a level line',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [read, acknowledge, read, acknowledge] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'two-readers',
    about: 'two readers of one file, one interrupt of a level line',
    line: LEVEL,
    threads: { A: [read, acknowledge], B: [read, acknowledge] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'two-readers-again',
    about: 'two readers of one file, one of which comes back, two interrupts of a level line',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { A: [read, acknowledge, read, acknowledge], B: [read, acknowledge] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'three-threads',
    about: 'two readers and a poller of one file, two interrupts of a level line, one processor',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    mostPreemptions: 0,
    threads: { A: [read, acknowledge], B: [read, acknowledge], C: [poll] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'two-processors',
    about: 'one reader, two interrupts of a level line, which either processor takes',
    line: LEVEL,
    threads: { reader: [read, acknowledge, read, acknowledge] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'edge',
    about: 'one reader, two edges, which either processor takes',
    line: EDGE,
    threads: { reader: [read, read] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'edge-close',
    about: 'a reader closes an edge line whose second interrupt may be on its way',
    line: EDGE,
    threads: { reader: [read, close] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'edge-reopen',
    about: 'the line is closed and opened again: what came before is not for the new owner',
    line: EDGE,
    machine: ONE_PROCESSOR,
    threads: { reader: [read, close, reopen, read] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'nonblocking',
    about: 'non-blocking reads of a level line that is asserted',
    line: LEVEL,
    flags: NONBLOCKING,
    threads: { reader: [read, read, acknowledge, read] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'reader-and-poller',
    about: 'one thread reads, another polls the same file',
    line: LEVEL,
    threads: { reader: [read, acknowledge], poller: [poll] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'poller',
    about: 'poll, then read',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { poller: [poll, read, acknowledge] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'poll-timeout',
    about: 'poll with a timeout, which an interrupt may or may not beat',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { poller: [pollBriefly, read, acknowledge] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'epoll-level',
    about: 'level-triggered epoll, one read for each event',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [watchLevel, epollWait, read, acknowledge, epollWait, read, acknowledge] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'epoll-edge',
    about: 'edge-triggered epoll, one read for each event',
    only: {
      kernel: 'chubb-2.6.11',
      because: 'edge-triggered epoll asks for reading until EAGAIN, which epoll-edge-drain does (D8)',
    },
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [watchEdge, epollWait, read, acknowledge, epollWait, read, acknowledge] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'epoll-edge-drain',
    about: 'edge-triggered epoll, reading until EAGAIN',
    only: { kernel: 'usrdrv-6.1', because: 'a non-blocking read says EAGAIN too early there (D7)' },
    line: LEVEL,
    flags: NONBLOCKING,
    machine: ONE_PROCESSOR,
    threads: { reader: [watchEdge, epollWait, drain, epollWait, drain] },
    devices: { device: [interrupt, interrupt] },
  }),
  litmus({
    name: 'close-while-reading',
    about: 'one thread closes the file that another reads',
    line: LEVEL,
    threads: { reader: [read, acknowledge], closer: [close] },
    devices: { device: [interrupt] },
  }),
  litmus({
    name: 'unplug-while-reading',
    about: 'the device is pulled out while a thread reads, or waits for the next interrupt',
    only: { kernel: 'usrdrv-6.1', because: 'the file of 2005 does not hear that its device has gone (D13)' },
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [read, acknowledge, read] },
    devices: { device: [interrupt], slot: [unplug] },
  }),
  litmus({
    name: 'signal',
    about: 'a signal interrupts a read, which is made again',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [readSome, acknowledge] },
    devices: { device: [interrupt], sender: [signal('reader')] },
  }),
  litmus({
    name: 'signal-alone',
    about: 'a signal interrupts a read, and no interrupt comes',
    line: LEVEL,
    machine: ONE_PROCESSOR,
    threads: { reader: [read] },
    devices: { sender: [signal('reader')] },
  }),
  litmus({
    name: 'bad-buffer-edge',
    about: 'one reader gives memory that is not there, another sleeps: what is put back wakes it',
    line: EDGE,
    machine: ONE_PROCESSOR,
    threads: { good: [read], bad: [readNowhere] },
    devices: { device: [interrupt] },
    without: PUT_BACK,
  }),
  litmus({
    name: 'bad-buffer',
    about: 'one reader gives memory that is not there, and another a good buffer: nothing is lost',
    line: LEVEL,
    threads: { good: [read, acknowledge], bad: [readNowhere] },
    devices: { device: [interrupt] },
    without: PUT_BACK,
  }),
  twoDrivers,
  lineOfADisk({ asIfShared: false }),
];

/** @throws RangeError no scenario of that name; the message has all names */
export function scenarioNamed(name: string): ThreadScenario {
  const found = SCENARIOS.find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new RangeError(
    `no scenario is called ${JSON.stringify(name)}: there are ${SCENARIOS.map((s) => s.name).join(', ')}`,
  );
}
