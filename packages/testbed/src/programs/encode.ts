import type { Call, Meanwhile, Pointer, Program } from '@usrdrv/conformance/programs';
import { errnoName } from '@usrdrv/core';

/** A program as guest/program.c reads it: a line a call (a letter, whether the child makes it, numbers), and a line `.`. */
export function encodeForGuest({ calls }: Program): string {
  return `${calls.map((call) => `${encodeCall(call)}\n`).join('')}.\n`;
}

/** What the programs of a batch logged, in the words that the emulator's executor uses. */
export function decodeLogs(answer: string): string[][] {
  const logs = answer.split(/^\.\n/m);
  logs.pop();
  return logs.map((log) => log.split('\n').slice(0, -1).map(named));
}

/** A log entry with its errors by name: -22 becomes -EINVAL. */
export function named(entry: string): string {
  return entry.replace(/^-\d+/, (errno) => `-${errnoName(-Number(errno))}`);
}

/** One call, as a line without its end. */
export function encodeCall(call: Call): string {
  return [letter(call), Number(call.child ?? false), ...numbers(call)].join(' ');
}

const LETTERS: Readonly<Record<Call['call'], string>> = {
  open: 'o',
  close: 'c',
  dup: 'd',
  getfl: 'g',
  setfl: 'f',
  read: 'r',
  write: 'w',
  poll: 'p',
  select: 's',
  epoll_create1: 'e',
  epoll_ctl: 't',
  epoll_wait: 'v',
  mmap: 'm',
  munmap: 'u',
  usr_pci_open: 'O',
  usr_pci_get_consistent: 'G',
  usr_pci_mmap: 'M',
  usr_pci_munmap: 'U',
  raise: 'R',
  acknowledge: 'A',
  sigaction: 'a',
  kill: 'k',
  fork: 'F',
  exit: 'x',
  observe: 'b',
};

function letter({ call }: Call): string {
  return LETTERS[call];
}

function numbers(call: Call): number[] {
  switch (call.call) {
    case 'open':
      return [call.path === 'irq' ? 0 : 1, call.flags];
    case 'close':
    case 'dup':
    case 'getfl':
      return [call.fd];
    case 'setfl':
      return [call.fd, call.flags];
    case 'read':
      return [call.fd, pointer(call.buf), call.count, meanwhile(call)];
    case 'write':
      return [call.fd, pointer(call.buf), call.count];
    case 'poll':
      return [call.timeout, meanwhile(call), call.fds.length, ...call.fds.flatMap(({ fd, events }) => [fd, events])];
    case 'select':
      return [call.timeout, meanwhile(call), call.read.length, ...call.read];
    case 'epoll_create1':
      return [call.flags];
    case 'epoll_ctl':
      return [call.epfd, call.op, call.fd, call.events >>> 0];
    case 'epoll_wait':
      return [call.epfd, call.maxevents, call.timeout, meanwhile(call)];
    case 'mmap':
      return [call.arena, call.length, call.prot];
    case 'munmap':
      return [call.arena, call.offset, call.length];
    case 'usr_pci_open':
      return [call.device === 'edu' ? 0 : 1, ['default', '28 bits', '1 bit'].indexOf(call.mask)];
    case 'usr_pci_get_consistent':
      return [call.fd, call.size, pointer(call.vaddrp), pointer(call.dmaaddrp)];
    case 'usr_pci_mmap': {
      const arena = call.arena === 'null' ? -1 : call.arena === 'consistent' ? -2 : call.arena;
      const { fd, mp, offset, size, sglist, nents, direction, to } = call;
      return [fd, pointer(mp), arena, offset, size, pointer(sglist), nents, direction, to];
    }
    case 'usr_pci_munmap':
      return [call.fd, pointer(call.mp), call.mapping];
    case 'raise':
    case 'acknowledge':
      return [call.bits];
    case 'sigaction':
      return [Number(call.handle)];
    case 'kill':
    case 'fork':
    case 'exit':
    case 'observe':
      return [];
  }
}

const POINTERS: readonly Pointer[] = ['ok', 'null', 'unmapped', 'kernel', 'straddle', 'readonly'];

function pointer(name: Pointer): number {
  return POINTERS.indexOf(name);
}

function meanwhile(call: { readonly meanwhile: Meanwhile }): number {
  return Number(call.meanwhile === 'raise');
}
