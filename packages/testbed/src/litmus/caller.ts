import type { Call } from '@usrdrv/conformance/programs';
import {
  type EpollEvent,
  errnoName,
  F_SETFL,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAPPING_INFO,
  type MaySleep,
  PAGE_SIZE,
  type PciAddress,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  SCATTERLIST,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { ExploredThread } from '@usrdrv/emu';

/** Where guest/calls.h has them. */
const UNMAPPED = 0x20_0000_1000n;
const READ_ONLY = 0x20_0000_2000n;
const ARENA_BASE = 0x30_0000_0000n;
const ARENA_STRIDE = 0x10_0000n;
const ARENA_PAGES = 4;
const INFO = 0x100;
const LIST = 0x400;
const MAP_HERE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
const MASKS = { default: 0n, '28 bits': 0xfff_ffffn, '1 bit': 1n } as const;

/** The device that the calls are about: its back door, and where the kernel sees it. */
export interface LitmusDevice {
  readonly irq: number;
  readonly address: PciAddress;
  raise(bits: number): void;
  acknowledge(bits: number): void;
}

/** A call that a thread can make: it begins, and logs its result when it is over. */
export interface Act {
  begin(): MaySleep;
  log(result: number): string;
}

/** Makes the calls of one thread on the emulated kernel, and logs what guest/calls.c logs. */
export class Caller {
  readonly #view: DataView;

  constructor(
    readonly thread: ExploredThread,
    private readonly device: LitmusDevice,
    /** What the workers remember together: bus addresses, by number. */
    private readonly mappings: Map<number, bigint>,
  ) {
    const bytes = thread.thread.process.bytes(thread.buf, PAGE_SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  }

  /** What calls are made with, in the process that all are forked from. */
  mapMemory(): void {
    this.#map(ARENA_BASE, ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#map(READ_ONLY, PAGE_SIZE, PROT_READ);
  }

  act(call: Call): Act {
    const { thread, device } = this;
    switch (call.call) {
      case 'open':
        return { begin: () => thread.open(`/proc/irq/${device.irq}/irq`, call.flags), log: logFd };
      case 'close':
        return { begin: () => thread.close(call.fd), log: logResult };
      case 'dup':
        return { begin: () => thread.call((t) => t.dup(call.fd)), log: logFd };
      case 'setfl':
        return { begin: () => thread.call((t) => t.fcntl(call.fd, F_SETFL, call.flags)), log: logResult };
      case 'read': {
        const log = (result: number) => (result === 4 ? `4: ${thread.value}` : logResult(result));
        return { begin: () => thread.read(call.fd, this.#pointer(call.buf, 0)), log };
      }
      case 'poll': {
        const fds: PollFd[] = call.fds.map((each) => ({ ...each, revents: 0 }));
        return { begin: () => thread.poll(fds, call.timeout), log: logList(() => fds.map(({ revents }) => revents)) };
      }
      case 'select': {
        const sets = { read: new Set(call.read) };
        const timeout = call.timeout < 0 ? undefined : call.timeout;
        return { begin: () => thread.call((t) => t.select(sets, timeout)), log: logList(() => [...sets.read]) };
      }
      case 'epoll_create1':
        return { begin: () => thread.call((t) => t.epollCreate1(call.flags)), log: logFd };
      case 'epoll_ctl': {
        const event = { events: call.events, data: call.fd };
        return { begin: () => thread.epollCtl(call.epfd, call.op, call.fd, event), log: logResult };
      }
      case 'epoll_wait': {
        const events: EpollEvent[] = [];
        const log = logList(() => events.map(({ data }) => data));
        return { begin: () => thread.epollWait(call.epfd, events, call.timeout), log };
      }
      case 'mmap': {
        const address = virtualAddress(ARENA_BASE + BigInt(call.arena) * ARENA_STRIDE);
        const begin = () => thread.call((t) => errorOf(t.mmap(address, call.length, call.prot, MAP_HERE, -1, 0n)));
        return { begin, log: logResult };
      }
      case 'munmap': {
        const address = this.#arena(call.arena, call.offset);
        return { begin: () => thread.call((t) => t.munmap(address, call.length)), log: logResult };
      }
      case 'usr_pci_open': {
        const { domain, bus, slot, function: fn } = device.address;
        return { begin: () => thread.call((t) => t.usrPciOpen(bus, slot, fn, MASKS[call.mask], domain)), log: logFd };
      }
      case 'usr_pci_mmap':
        return this.#usrPciMmap(call);
      case 'usr_pci_munmap': {
        const begin = () => {
          this.#view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, this.mappings.get(call.mapping) ?? 0xdead_0000n, true);
          return thread.call((t) => t.usrPciMunmap(call.fd, this.#pointer(call.mp, INFO)));
        };
        const log = (result: number) => {
          if (result === 0) this.mappings.delete(call.mapping);
          return logResult(result);
        };
        return { begin, log };
      }
      case 'raise':
        return this.outside(() => device.raise(call.bits));
      case 'acknowledge':
        return this.outside(() => device.acknowledge(call.bits));
      default:
        throw new Error(`no litmus test makes the call ${call.call}`);
    }
  }

  /** What the kernel does not see, and nobody logs. */
  outside(act: () => void): Act {
    const begin = () =>
      this.thread.call(() => {
        act();
        return 0;
      });
    return { begin, log: () => '' };
  }

  #usrPciMmap(call: Extract<Call, { readonly call: 'usr_pci_mmap' }>): Act {
    const { arena, offset, size, nents, direction, mp, sglist, fd, to } = call;
    if (typeof arena !== 'number') throw new Error('a litmus test maps an arena');
    const view = this.#view;
    const begin = () => {
      view.setBigUint64(INFO + MAPPING_INFO.virtaddr, this.#arena(arena, offset), true);
      view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, 0n, true);
      view.setUint32(INFO + MAPPING_INFO.size, size, true);
      view.setBigUint64(INFO + MAPPING_INFO.sglist, this.#pointer(sglist, LIST), true);
      view.setInt32(INFO + MAPPING_INFO.nents, nents, true);
      view.setInt32(INFO + MAPPING_INFO.direction, direction, true);
      return this.thread.call((t) => t.usrPciMmap(fd, this.#pointer(mp, INFO)));
    };
    const log = (result: number): string => {
      if (result !== 0) return logResult(result);
      this.mappings.set(to, view.getBigUint64(INFO + MAPPING_INFO.dmaaddr, true));
      const entries = view.getInt32(INFO + MAPPING_INFO.nents, true);
      let bytes = 0n;
      for (let entry = 0; entry < entries; entry++) {
        bytes += view.getBigUint64(LIST + entry * SCATTERLIST.length + SCATTERLIST.len, true);
      }
      return `0: ${bytes} bytes`;
    };
    return { begin, log };
  }

  #pointer(pointer: string, offset: number): VirtualAddress {
    if (pointer === 'ok') return virtualAddress(this.thread.buf + BigInt(offset));
    return virtualAddress(pointer === 'readonly' ? READ_ONLY : UNMAPPED);
  }

  #arena(arena: number, offset: number): VirtualAddress {
    return virtualAddress(ARENA_BASE + BigInt(arena) * ARENA_STRIDE + BigInt(offset));
  }

  #map(address: bigint, length: number, prot: number): void {
    this.thread.thread.mmap(virtualAddress(address), length, prot, MAP_HERE, -1, 0n);
  }
}

function errorOf(result: VirtualAddress | number): number {
  return typeof result === 'number' ? result : 0;
}

function logResult(result: number): string {
  return result < 0 ? `-${errnoName(-result)}` : `${result}`;
}

function logFd(result: number): string {
  return result < 0 ? logResult(result) : `fd ${result}`;
}

function logList(list: () => readonly number[]): (result: number) => string {
  return (result) => (result < 0 ? logResult(result) : `${result}: ${list().join(' ')}`);
}
