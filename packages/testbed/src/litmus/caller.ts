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
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';

/** Where guest/calls.h has them. */
const SCRATCH = 0x20_0000_0000n;
const SCRATCH_STRIDE = 0x1_0000n;
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

/** A call that has begun: its result, which means nothing where a stepper has the call, and what it logs in the end. */
export interface Begun {
  readonly result: MaySleep<number | bigint>;
  log(result: number | bigint): string;
}

/** Makes the calls of one worker on the emulated kernel, and logs what guest/calls.c logs. */
export class Caller {
  readonly #scratch: bigint;
  readonly #view: DataView;

  constructor(
    readonly thread: UserThread,
    private readonly device: LitmusDevice,
    /** What the workers remember together: bus addresses, by number. */
    private readonly mappings: Map<number, bigint>,
    which: number,
  ) {
    this.#scratch = SCRATCH + BigInt(which) * SCRATCH_STRIDE;
    this.#map(this.#scratch, PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#map(this.#scratch + BigInt(2 * PAGE_SIZE), PAGE_SIZE, PROT_READ);
    const bytes = thread.process.bytes(virtualAddress(this.#scratch), PAGE_SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  }

  mapArena(): void {
    this.#map(ARENA_BASE, ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
  }

  begin(call: Call): Begun {
    const { thread, device } = this;
    switch (call.call) {
      case 'open':
        return { result: thread.open(`/proc/irq/${device.irq}/irq`, call.flags), log: logFd };
      case 'close':
        return { result: thread.close(call.fd), log: logResult };
      case 'dup':
        return { result: thread.dup(call.fd), log: logFd };
      case 'setfl':
        return { result: thread.fcntl(call.fd, F_SETFL, call.flags), log: logResult };
      case 'read': {
        const log = (result: number | bigint) =>
          result === 4 ? `4: ${this.#view.getInt32(0, true)}` : logResult(result);
        return { result: thread.read(call.fd, this.#pointer(call.buf, 0), call.count), log };
      }
      case 'poll': {
        const fds: PollFd[] = call.fds.map((each) => ({ ...each, revents: 0 }));
        return { result: thread.poll(fds, call.timeout), log: logList(() => fds.map(({ revents }) => revents)) };
      }
      case 'select': {
        const sets = { read: new Set(call.read) };
        const timeout = call.timeout < 0 ? undefined : call.timeout;
        return { result: thread.select(sets, timeout), log: logList(() => [...sets.read]) };
      }
      case 'epoll_create1':
        return { result: thread.epollCreate1(call.flags), log: logFd };
      case 'epoll_ctl': {
        const event = { events: call.events, data: call.fd };
        return { result: thread.epollCtl(call.epfd, call.op, call.fd, event), log: logResult };
      }
      case 'epoll_wait': {
        const events: EpollEvent[] = [];
        const result = thread.epollWait(call.epfd, events, call.maxevents, call.timeout);
        return { result, log: logList(() => events.map(({ data }) => data)) };
      }
      case 'mmap': {
        const address = ARENA_BASE + BigInt(call.arena) * ARENA_STRIDE;
        const log = (result: number | bigint) => (result === address ? '0' : logResult(result));
        return { result: thread.mmap(virtualAddress(address), call.length, call.prot, MAP_HERE, -1, 0n), log };
      }
      case 'munmap':
        return { result: thread.munmap(this.#arena(call.arena, call.offset), call.length), log: logResult };
      case 'usr_pci_open': {
        const { domain, bus, slot, function: fn } = device.address;
        return { result: thread.usrPciOpen(bus, slot, fn, MASKS[call.mask], domain), log: logFd };
      }
      case 'usr_pci_mmap':
        return this.#usrPciMmap(call);
      case 'usr_pci_munmap': {
        this.#view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, this.mappings.get(call.mapping) ?? 0xdead_0000n, true);
        const log = (result: number | bigint) => {
          if (result === 0) this.mappings.delete(call.mapping);
          return logResult(result);
        };
        return { result: thread.usrPciMunmap(call.fd, this.#pointer(call.mp, INFO)), log };
      }
      case 'raise':
        device.raise(call.bits);
        return { result: 0, log: nothing };
      case 'acknowledge':
        device.acknowledge(call.bits);
        return { result: 0, log: nothing };
      default:
        throw new Error(`no litmus test makes the call ${call.call}`);
    }
  }

  #usrPciMmap(call: Extract<Call, { readonly call: 'usr_pci_mmap' }>): Begun {
    const view = this.#view;
    if (typeof call.arena !== 'number') throw new Error('a litmus test maps an arena');
    view.setBigUint64(INFO + MAPPING_INFO.virtaddr, this.#arena(call.arena, call.offset), true);
    view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, 0n, true);
    view.setUint32(INFO + MAPPING_INFO.size, call.size, true);
    view.setBigUint64(INFO + MAPPING_INFO.sglist, this.#pointer(call.sglist, LIST), true);
    view.setInt32(INFO + MAPPING_INFO.nents, call.nents, true);
    view.setInt32(INFO + MAPPING_INFO.direction, call.direction, true);
    const log = (result: number | bigint): string => {
      if (result !== 0) return logResult(result);
      this.mappings.set(call.to, view.getBigUint64(INFO + MAPPING_INFO.dmaaddr, true));
      const entries = view.getInt32(INFO + MAPPING_INFO.nents, true);
      let bytes = 0n;
      for (let entry = 0; entry < entries; entry++) {
        bytes += view.getBigUint64(LIST + entry * SCATTERLIST.length + SCATTERLIST.len, true);
      }
      return `0: ${bytes} bytes`;
    };
    return { result: this.thread.usrPciMmap(call.fd, this.#pointer(call.mp, INFO)), log };
  }

  #pointer(pointer: string, offset: number): VirtualAddress {
    const at = pointer === 'ok' ? offset : pointer === 'readonly' ? 2 * PAGE_SIZE : PAGE_SIZE;
    return virtualAddress(this.#scratch + BigInt(at));
  }

  #arena(arena: number, offset: number): VirtualAddress {
    return virtualAddress(ARENA_BASE + BigInt(arena) * ARENA_STRIDE + BigInt(offset));
  }

  #map(address: bigint, length: number, prot: number): void {
    this.thread.mmap(virtualAddress(address), length, prot, MAP_HERE, -1, 0n);
  }
}

function logResult(result: number | bigint): string {
  return result < 0 ? `-${errnoName(-Number(result))}` : `${result}`;
}

function logFd(result: number | bigint): string {
  return result < 0 ? logResult(result) : `fd ${result}`;
}

function logList(list: () => readonly number[]): (result: number | bigint) => string {
  return (result) => (result < 0 ? logResult(result) : `${result}: ${list().join(' ')}`);
}

function nothing(): string {
  return '';
}
