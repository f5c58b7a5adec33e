import {
  DMA_NONE,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLONESHOT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PAGE_SIZE,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '@usrdrv/core';
import fc from 'fast-check';
import { Model, type ModelFile } from './model.ts';
import { ARENA_PAGES, ARENAS, type Call, FOREIGN_FD, MAPPINGS, type Program } from './program.ts';

const READ_WRITE = PROT_READ | PROT_WRITE;

/** From here on a number means the first, second … open descriptor of the kind that the call is for; see {@link aimed}. */
const AIMED = 1000;
const fd = weighted(
  [AIMED, 16],
  [AIMED + 1, 4],
  [AIMED + 2, 2],
  [0, 2],
  [1, 1],
  [2, 1],
  [3, 1],
  [-1, 1],
  [FOREIGN_FD, 1],
);
const child = fc.oneof({ weight: 7, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const buffer = weighted(['ok', 40], ['null', 1], ['unmapped', 1], ['kernel', 1], ['straddle', 1], ['readonly', 1]);
/** Of a struct that the kernel also reads. */
const inOut = weighted(['ok', 40], ['null', 1], ['unmapped', 1], ['kernel', 1], ['straddle', 1]);
const meanwhile = fc.constantFrom('raise' as const, 'signal' as const);
const timeout = weighted([0, 6], [-1, 2], [5, 1]);
const count = weighted([4, 12], [5, 1], [4096, 1], [0, 1], [3, 1], [2 ** 52, 1]);
const irqFlags = weighted(
  [O_RDONLY | O_NONBLOCK, 6],
  [O_RDONLY, 5],
  [O_RDWR | O_NONBLOCK, 2],
  [O_RDWR, 1],
  [O_WRONLY | O_NONBLOCK, 1],
);
const pollEvents = weighted([POLLIN, 6], [POLLIN | POLLRDNORM | POLLOUT, 2], [POLLOUT, 1], [0, 1]);
const epollEvents = weighted(
  [EPOLLIN, 4],
  [EPOLLIN | EPOLLET, 3],
  [EPOLLIN | EPOLLONESHOT, 2],
  [EPOLLIN | EPOLLET | EPOLLONESHOT, 1],
);
const epollOp = weighted([EPOLL_CTL_ADD, 8], [EPOLL_CTL_MOD, 2], [EPOLL_CTL_DEL, 1], [9, 1]);
const arena = fc.nat({ max: ARENAS - 1 });
const size = weighted([PAGE_SIZE, 9], [100, 5], [2 * PAGE_SIZE, 5], [PAGE_SIZE + 1, 2], [3 * PAGE_SIZE - 1, 2], [0, 1]);
const direction = weighted([0, 8], [1, 8], [2, 8], [DMA_NONE, 1], [-1, 1]);

/** One call, with all that can be wrong about it. Weighted for programs that get somewhere. */
const call: fc.Arbitrary<Call> = fc.oneof(
  one(8, { call: 'open', path: weighted(['irq', 12], ['missing', 1]), flags: irqFlags, child }),
  one(2, { call: 'close', fd, child }),
  one(2, { call: 'dup', fd, child }),
  one(1, { call: 'getfl', fd, child }),
  one(2, { call: 'setfl', fd, flags: fc.constantFrom(0, O_NONBLOCK), child }),
  one(16, { call: 'read', fd, buf: buffer, count, meanwhile, child }),
  one(1, { call: 'write', fd, buf: buffer, count, child }),
  one(6, {
    call: 'poll',
    fds: fc.array(fc.record({ fd, events: pollEvents }), { maxLength: 3 }),
    timeout,
    meanwhile,
    child,
  }),
  one(4, {
    call: 'select',
    read: fc.array(
      fd.filter((each) => each >= 0),
      { maxLength: 2 },
    ),
    timeout,
    meanwhile,
    child,
  }),
  one(3, { call: 'epoll_create1', flags: weighted([0, 9], [1, 1]), child }),
  one(6, { call: 'epoll_ctl', epfd: fd, op: epollOp, fd, events: epollEvents, child }),
  one(6, { call: 'epoll_wait', epfd: fd, maxevents: weighted([8, 9], [0, 1]), timeout, meanwhile, child }),
  one(14, { call: 'raise', bits: weighted([1, 3], [2, 1]) }),
  one(10, { call: 'acknowledge', bits: weighted([1, 2], [2, 1], [3, 4]) }),
  one(3, {
    call: 'mmap',
    arena,
    length: weighted([PAGE_SIZE, 2], [ARENA_PAGES * PAGE_SIZE, 4], [1, 1], [0, 1]),
    prot: weighted([READ_WRITE, 6], [PROT_READ, 2], [PROT_NONE, 1]),
  }),
  one(1, {
    call: 'munmap',
    arena,
    offset: weighted([0, 2], [PAGE_SIZE, 4], [2 * PAGE_SIZE, 2], [1, 1]),
    length: weighted([PAGE_SIZE, 4], [2 * PAGE_SIZE, 1], [1, 1], [0, 1]),
  }),
  one(5, {
    call: 'usr_pci_open',
    device: weighted(['edu', 9], ['missing', 1]),
    mask: weighted(['28 bits', 6], ['default', 2], ['1 bit', 1]),
    child,
  }),
  one(3, {
    call: 'usr_pci_get_consistent',
    fd,
    size: weighted([PAGE_SIZE, 8], [0, 1], [PAGE_SIZE + 1, 1]),
    vaddrp: buffer,
    dmaaddrp: buffer,
  }),
  one(9, {
    call: 'usr_pci_mmap',
    fd,
    mp: inOut,
    arena: weighted<number | 'consistent' | 'null'>([0, 9], [1, 3], [2, 3], ['consistent', 1], ['null', 1]),
    offset: weighted([0, 4], [100, 2], [PAGE_SIZE - 1, 1], [2 * PAGE_SIZE, 1]),
    size,
    sglist: buffer,
    nents: weighted([10, 20], [3, 4], [2, 1], [0, 1], [-1, 1]),
    direction,
    to: fc.nat({ max: MAPPINGS - 1 }),
  }),
  one(6, { call: 'usr_pci_munmap', fd, mp: inOut, mapping: fc.nat({ max: MAPPINGS - 1 }), child }),
  one(1, { call: 'sigaction', handle: fc.boolean() }),
  one(1, { call: 'kill' }),
  one(2, { call: 'fork' }),
  one(1, { call: 'exit' }),
  one(3, { call: 'observe' }),
);

/**
 * Random programs of system calls. They shrink to fewer and simpler ones.
 * @param o.maxLength calls in the longest; 50 where left out
 */
export function programs({ minLength = 0, maxLength = 50 } = {}): fc.Arbitrary<Program> {
  return fc.array(call, { minLength, maxLength, size: 'max' }).map((calls) => ({ calls: aimed(calls) }));
}

/** Descriptors of what each call is for: without them, most calls would end at EBADF. */
function aimed(calls: readonly Call[]): Call[] {
  const model = new Model('usrdrv-6.1');
  return calls.map((each) => {
    const at = (kind: ModelFile['kind'] | undefined, number: number): number => {
      if (number < AIMED) return number;
      const open = model.open(each.child === true, kind);
      return open[(number - AIMED) % open.length] ?? 0;
    };
    const hit = hitting(each, at);
    model.call(hit);
    return hit;
  });
}

function hitting(each: Call, at: (kind: ModelFile['kind'] | undefined, number: number) => number): Call {
  switch (each.call) {
    case 'close':
    case 'dup':
      return { ...each, fd: at(undefined, each.fd) };
    case 'getfl':
    case 'setfl':
    case 'read':
    case 'write':
      return { ...each, fd: at('irq', each.fd) };
    case 'poll':
      return { ...each, fds: each.fds.map(({ fd: number, events }) => ({ fd: at('irq', number), events })) };
    case 'select':
      return { ...each, read: each.read.map((number) => at('irq', number)) };
    case 'epoll_ctl':
      return { ...each, epfd: at('epoll', each.epfd), fd: at('irq', each.fd) };
    case 'epoll_wait':
      return { ...each, epfd: at('epoll', each.epfd) };
    case 'usr_pci_get_consistent':
    case 'usr_pci_mmap':
    case 'usr_pci_munmap':
      return { ...each, fd: at('pci', each.fd) };
    default:
      return each;
  }
}

type Arguments<C> = { readonly [K in keyof C]: C[K] | fc.Arbitrary<C[K]> };

/** A call of which some arguments are drawn. */
function one<C extends Call>(weight: number, args: Arguments<C>): { weight: number; arbitrary: fc.Arbitrary<C> } {
  const drawn = Object.entries(args).map(([name, value]): [string, fc.Arbitrary<unknown>] => [
    name,
    value instanceof fc.Arbitrary ? value : fc.constant(value),
  ]);
  return { weight, arbitrary: fc.record(Object.fromEntries(drawn)) as fc.Arbitrary<C> };
}

/** Values by how often they are to come; they shrink towards the first. */
function weighted<const T>(...values: readonly (readonly [value: T, weight: number])[]): fc.Arbitrary<T> {
  return fc.constantFrom(...values.flatMap(([value, weight]) => Array.from({ length: weight }, () => value)));
}
