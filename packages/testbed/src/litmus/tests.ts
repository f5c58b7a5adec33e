import type { Call } from '@usrdrv/conformance/programs';
import {
  EPOLL_CTL_ADD,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
  O_NONBLOCK,
  O_RDONLY,
  PAGE_SIZE,
  POLLIN,
  PROT_READ,
  PROT_WRITE,
} from '@usrdrv/core';
import type { Litmus, LitmusCall, Worker } from './litmus.ts';

// Calls in few words. A worker's sleep is ended by nobody, so `meanwhile` means nothing here.
const meanwhile = 'signal';
const open = (flags = O_RDONLY): Call => ({ call: 'open', path: 'irq', flags });
const close = (fd: number): Call => ({ call: 'close', fd });
const dup = (fd: number): Call => ({ call: 'dup', fd });
const read = (fd = 0): Call => ({ call: 'read', fd, buf: 'ok', count: 4, meanwhile });
const readTo = (buf: 'unmapped' | 'readonly'): Call => ({ call: 'read', fd: 0, buf, count: 4, meanwhile });
const nonblocking = (fd = 0): Call => ({ call: 'setfl', fd, flags: O_NONBLOCK });
const poll = (timeout = -1): Call => ({ call: 'poll', fds: [{ fd: 0, events: POLLIN }], timeout, meanwhile });
const select: Call = { call: 'select', read: [0], timeout: -1, meanwhile };
const epoll: Call = { call: 'epoll_create1', flags: 0 };
const watch = (events: number): Call => ({ call: 'epoll_ctl', epfd: 1, op: EPOLL_CTL_ADD, fd: 0, events });
const epollWait = (timeout = -1): Call => ({ call: 'epoll_wait', epfd: 1, maxevents: 8, timeout, meanwhile });
const raise: Call = { call: 'raise', bits: 1 };
const acknowledge: Call = { call: 'acknowledge', bits: 1 };
const signal = (worker: number): LitmusCall => ({ call: 'signal', worker });
const pciOpen: Call = { call: 'usr_pci_open', device: 'edu', mask: '28 bits' };
const pciMap = (to = 0): Call => ({
  call: 'usr_pci_mmap',
  fd: 0,
  mp: 'ok',
  arena: 0,
  offset: 0,
  size: 2 * PAGE_SIZE,
  sglist: 'ok',
  nents: 8,
  direction: 0,
  to,
});
const pciUnmap = (mapping = 0): Call => ({ call: 'usr_pci_munmap', fd: 0, mp: 'ok', mapping });
const munmap: Call = { call: 'munmap', arena: 0, offset: 0, length: PAGE_SIZE };
const remap: Call = { call: 'mmap', arena: 0, length: PAGE_SIZE, prot: PROT_READ | PROT_WRITE };

const thread = (...calls: LitmusCall[]): Worker => ({ calls });
const process = (...calls: LitmusCall[]): Worker => ({ calls, process: true });
/** What is left in the line: a count, or EAGAIN. */
const left = [nonblocking(), read()];

/** Small enough that every outcome can be listed, each about one thing that two can do at once. */
export const LITMUS_TESTS: readonly Litmus[] = [
  {
    name: 'two readers, one interrupt',
    rules: 'P2 P8',
    setup: [open()],
    workers: [thread(read()), thread(read()), thread(raise, acknowledge)],
    after: left,
  },
  {
    name: 'two readers, two interrupts',
    rules: 'P2 P5 P8 D2',
    setup: [open()],
    workers: [thread(read()), thread(read()), thread(raise, acknowledge, raise, acknowledge)],
    after: left,
  },
  {
    name: 'two readers that do not wait, the line asserted',
    rules: 'P5 P13 D1 D7',
    setup: [open(O_NONBLOCK), raise],
    workers: [thread(read(), read()), thread(read())],
    after: [acknowledge, read(), read()],
  },
  {
    name: 'reader and poller',
    rules: 'P5 P10',
    setup: [open()],
    workers: [thread(read()), thread(poll()), thread(raise, acknowledge)],
    after: left,
  },
  {
    name: 'two pollers',
    rules: 'P10',
    setup: [open()],
    workers: [thread(poll()), thread(poll()), thread(raise)],
    after: left,
  },
  {
    name: 'poller takes what it was told of, another reader about',
    rules: 'P5 P10',
    setup: [open(O_NONBLOCK)],
    workers: [thread(poll(), read()), thread(read()), thread(raise, acknowledge)],
    after: left,
  },
  {
    name: 'selecter and reader',
    rules: 'P10',
    setup: [open(O_NONBLOCK)],
    workers: [thread(select), thread(read(), read()), thread(raise)],
    after: [acknowledge, ...left],
  },
  {
    name: 'close against read',
    rules: 'P8',
    setup: [open()],
    workers: [thread(read()), thread(close(0)), thread(raise, acknowledge)],
    after: [open(), ...left],
  },
  {
    name: 'two opens',
    rules: 'P6 P9',
    setup: [],
    workers: [thread(open()), thread(open())],
    after: [],
  },
  {
    name: 'open against close',
    rules: 'P6 P8',
    setup: [open()],
    workers: [thread(close(0)), thread(open(O_NONBLOCK), read(1))],
    after: [open()],
  },
  {
    name: 'signal against wake, in read',
    rules: 'P3 P4',
    setup: [open()],
    workers: [thread(read()), thread(raise, acknowledge), thread(signal(0))],
    after: left,
  },
  {
    name: 'signal against wake, in poll',
    rules: 'P4 P11',
    setup: [open()],
    workers: [thread(poll()), thread(raise, acknowledge), thread(signal(0))],
    after: left,
  },
  {
    name: 'a duplicate is closed under the reader',
    rules: 'P8',
    setup: [open(), dup(0)],
    workers: [thread(read(0)), thread(close(1), raise), thread(close(0))],
    after: [acknowledge, open(), ...left],
  },
  {
    name: 'fork: parent and child read the same line',
    rules: 'P8',
    setup: [open()],
    workers: [process(read()), process(read()), thread(raise, acknowledge)],
    after: left,
  },
  {
    name: 'fork: the child closes while the parent reads',
    rules: 'P8',
    setup: [open()],
    workers: [process(close(0)), thread(read()), thread(close(0), raise, acknowledge)],
    after: [open(), ...left],
  },
  {
    name: 'a read that faults, and one that does not',
    rules: 'P3',
    setup: [open()],
    workers: [thread(readTo('readonly')), thread(read()), thread(raise, acknowledge)],
    after: left,
    without: {
      invariant: 'masked while pending',
      because: 'a count that could not be copied is put back, after another reader may have let the line through',
    },
  },
  {
    name: 'epoll, level-triggered, against a reader',
    rules: 'P14',
    setup: [open(O_NONBLOCK), epoll, watch(EPOLLIN)],
    workers: [thread(epollWait()), thread(read()), thread(raise, acknowledge)],
    after: [epollWait(0), read()],
  },
  {
    name: 'epoll, edge-triggered, two waiters',
    rules: 'P14 D8',
    setup: [open(O_NONBLOCK), epoll, watch(EPOLLIN | EPOLLET)],
    workers: [thread(epollWait()), thread(epollWait()), thread(raise, acknowledge)],
    after: [epollWait(0), read()],
  },
  {
    name: 'epoll, one-shot, two waiters',
    rules: 'P14',
    setup: [open(O_NONBLOCK), epoll, watch(EPOLLIN | EPOLLONESHOT)],
    workers: [thread(epollWait()), thread(epollWait()), thread(raise, acknowledge)],
    after: [epollWait(0), read()],
  },
  {
    name: 'epoll_ctl against an interrupt',
    rules: 'P14',
    setup: [open(O_NONBLOCK), epoll],
    workers: [thread(watch(EPOLLIN | EPOLLET)), thread(raise, acknowledge)],
    after: [epollWait(0), epollWait(0), read()],
  },
  {
    name: 'arming against acknowledging',
    rules: 'P5 P13',
    setup: [open(O_NONBLOCK), raise],
    workers: [thread(read(), read(), read()), thread(acknowledge)],
    after: [read()],
  },
  {
    name: 'the function opened twice',
    rules: 'U1 UD12',
    setup: [],
    workers: [thread(pciOpen), thread(pciOpen)],
    after: [],
  },
  {
    name: 'a mapping unmapped twice',
    rules: 'U5 UD1',
    setup: [pciOpen, pciMap()],
    workers: [thread(pciUnmap()), thread(pciUnmap())],
    after: [pciUnmap()],
    without: {
      invariant: 'no DMA misuse',
      because: 'the program does unmap what is not mapped',
    },
  },
  {
    name: 'mapping for the device against munmap of the memory',
    rules: 'U4',
    setup: [pciOpen],
    workers: [thread(pciMap()), thread(munmap, remap)],
    after: [pciUnmap()],
    without: {
      invariant: 'no DMA misuse',
      because: 'the program unmaps also where mapping has failed',
    },
  },
  {
    name: 'mapping against closing the function',
    rules: 'U2 U4',
    setup: [pciOpen],
    workers: [thread(pciMap()), thread(close(0))],
    after: [pciOpen, pciMap(1), pciUnmap(1)],
    without: {
      invariant: 'no DMA misuse',
      because: 'the program closes without unmapping',
    },
  },
];
