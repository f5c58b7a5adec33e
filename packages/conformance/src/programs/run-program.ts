import {
  DMA_BIDIRECTIONAL,
  type EpollEvent,
  F_GETFL,
  F_SETFL,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAPPING_INFO,
  type MaySleep,
  O_ACCMODE,
  O_NONBLOCK,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  type PollFd,
  PROT_READ,
  PROT_WRITE,
  SCATTERLIST,
  SIGUSR1,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { EduBench, Target } from '../bench.ts';
import { showResult } from '../violation.ts';
import {
  ARENA_PAGES,
  ARENAS,
  type Call,
  type CallOf,
  FOREIGN_FD,
  MAPPINGS,
  type Meanwhile,
  type Pointer,
} from './program.ts';

/** Where the executor puts memory, out of the way of what a kernel places itself. */
const SCRATCH = 0x20_0000_0000n;
const ARENA_BASE = 0x30_0000_0000n;
const ARENA_STRIDE = 0x10_0000n;
/** What the scratch page is used for, as offsets in it. */
const COUNT = 0x000;
const INFO = 0x100;
const VADDR = 0x200;
const DMAADDR = 0x208;
const LIST = 0x400;
/** Entries that fit behind {@link LIST}. */
const LIST_ENTRIES = 100;
/** A mapping that no device has: where a program names one that it never made. */
const NO_MAPPING = 0xdead_0000n;
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
  readonly #view: DataView;
  #child: UserThread | undefined;
  readonly #mappings: bigint[] = Array.from({ length: MAPPINGS }, () => NO_MAPPING);
  #consistent = 0n;
  #signals = 0;

  constructor(target: Target) {
    const { process } = target.kernel;
    if (target.bench.edu === undefined) throw new Error('random programs need an edu device');
    this.#target = target;
    this.#edu = target.bench.edu;
    this.#parent = process.thread;
    this.#firstFd = this.#parent.epollCreate1(0);
    this.#parent.close(this.#firstFd);
    this.#mapFixed(SCRATCH, PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#mapFixed(SCRATCH + BigInt(2 * PAGE_SIZE), PAGE_SIZE, PROT_READ);
    this.#mapFixed(arenaAt(0, 0), ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
    const bytes = process.bytes(virtualAddress(SCRATCH), PAGE_SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
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
        return this.#now(thread.write(this.#real(call.fd), this.#pointer(call.buf, COUNT), call.count));
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
        return this.#mmap(call);
      case 'munmap':
        return showResult(thread.munmap(arenaAt(call.arena, call.offset), call.length));
      case 'usr_pci_open':
        return this.#usrPciOpen(thread, call);
      case 'usr_pci_get_consistent':
        return this.#getConsistent(thread, call);
      case 'usr_pci_mmap':
        return this.#usrPciMmap(thread, call);
      case 'usr_pci_munmap':
        return this.#usrPciMunmap(thread, call);
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
    const view = thread === this.#parent ? this.#view : this.#scratchOf(thread);
    view.setInt32(COUNT, 0x5a5a_5a5a, true);
    const logged = (result: number): string => (result === 4 ? `4: ${view.getInt32(COUNT, true)}` : showResult(result));
    return this.#asleep(meanwhile, logged, (o) => thread.read(this.#real(fd), this.#pointer(buf, COUNT), count, o));
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

  // Memory.

  #pointer(pointer: Pointer, offset: number): VirtualAddress {
    switch (pointer) {
      case 'ok':
        return virtualAddress(SCRATCH + BigInt(offset));
      case 'null':
        return virtualAddress(0);
      case 'unmapped':
        return virtualAddress(SCRATCH + BigInt(PAGE_SIZE));
      case 'kernel':
        return virtualAddress(0xffff_8000_0000_0000n);
      case 'straddle':
        return virtualAddress(SCRATCH + BigInt(PAGE_SIZE - 2));
      case 'readonly':
        return virtualAddress(SCRATCH + BigInt(2 * PAGE_SIZE));
    }
  }

  #scratchOf({ process }: UserThread): DataView {
    const bytes = process.bytes(virtualAddress(SCRATCH), PAGE_SIZE);
    return new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  }

  #mmap({ arena, length, prot }: CallOf<'mmap'>): string {
    const address = arenaAt(arena, 0);
    const result = this.#mapFixed(address, length, prot);
    return result === address ? '0' : showResult(result);
  }

  #mapFixed(address: bigint, length: number, prot: number): bigint | number {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    return this.#parent.mmap(virtualAddress(address), length, prot, flags, -1, 0n);
  }

  // The PCI calls.

  #usrPciOpen(thread: UserThread, { device, mask }: CallOf<'usr_pci_open'>): string {
    const { domain, bus, slot, function: fn } = this.#edu.address;
    const bits = { default: 0n, '28 bits': 0xfff_ffffn, '1 bit': 1n }[mask];
    const fd = device === 'edu' ? thread.usrPciOpen(bus, slot, fn, bits, domain) : thread.usrPciOpen(bus, 31, 7, bits);
    // U2: no mapping of an earlier open is left.
    if (fd >= 0) this.#mappings.fill(NO_MAPPING);
    return this.#fd(fd);
  }

  #getConsistent(thread: UserThread, { fd, size, vaddrp, dmaaddrp }: CallOf<'usr_pci_get_consistent'>): string {
    const pointers = [this.#pointer(vaddrp, VADDR), this.#pointer(dmaaddrp, DMAADDR)] as const;
    const result = thread.usrPciGetConsistent(this.#real(fd), size, ...pointers);
    if (result !== 0) return showResult(result);
    this.#consistent = this.#view.getBigUint64(VADDR, true);
    const bytes = thread.process.bytes(virtualAddress(this.#consistent), PAGE_SIZE);
    return bytes.every((byte) => byte === 0) ? '0: zeroed' : '0: not zeroed';
  }

  #usrPciMmap(thread: UserThread, call: CallOf<'usr_pci_mmap'>): string {
    const view = this.#view;
    const { arena, offset, size, nents, direction, to } = call;
    const region = arena === 'null' ? 0n : arena === 'consistent' ? this.#consistent : arenaAt(arena, offset);
    view.setBigUint64(INFO + MAPPING_INFO.virtaddr, region, true);
    view.setBigUint64(INFO + MAPPING_INFO.dmaaddr, 0n, true);
    view.setUint32(INFO + MAPPING_INFO.size, size, true);
    view.setBigUint64(INFO + MAPPING_INFO.sglist, this.#pointer(call.sglist, LIST), true);
    view.setInt32(INFO + MAPPING_INFO.nents, nents, true);
    view.setInt32(INFO + MAPPING_INFO.direction, direction, true);
    const result = thread.usrPciMmap(this.#real(call.fd), this.#pointer(call.mp, INFO));
    if (result !== 0) return showResult(result);
    this.#mappings[to % MAPPINGS] = view.getBigUint64(INFO + MAPPING_INFO.dmaaddr, true);
    const filled = view.getInt32(INFO + MAPPING_INFO.nents, true);
    const pages = Math.ceil(((offset % PAGE_SIZE) + size) / PAGE_SIZE);
    if (filled < 1 || filled > Math.min(pages, LIST_ENTRIES)) return `0: ${filled} entries for ${pages} pages`;
    let bytes = 0n;
    for (let entry = 0; entry < filled; entry++) {
      bytes += view.getBigUint64(LIST + entry * SCATTERLIST.length + SCATTERLIST.len, true);
    }
    return `0: ${bytes} bytes`;
  }

  #usrPciMunmap(thread: UserThread, { fd, mp, mapping }: CallOf<'usr_pci_munmap'>): string {
    const at = mapping % MAPPINGS;
    const scratch = thread === this.#parent ? this.#view : this.#scratchOf(thread);
    scratch.setBigUint64(INFO + MAPPING_INFO.dmaaddr, this.#mappings[at] ?? NO_MAPPING, true);
    scratch.setInt32(INFO + MAPPING_INFO.direction, DMA_BIDIRECTIONAL, true);
    const result = thread.usrPciMunmap(this.#real(fd), this.#pointer(mp, INFO));
    if (result === 0) this.#mappings[at] = NO_MAPPING;
    return showResult(result);
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

function arenaAt(arena: number, offset: number): VirtualAddress {
  return virtualAddress(ARENA_BASE + BigInt(arena % ARENAS) * ARENA_STRIDE + BigInt(offset));
}

function settled(result: MaySleep, logged: (result: number) => string): Entry {
  return typeof result === 'number' ? logged(result) : result.then(logged);
}

function nothing(settles: void | Promise<void>): Entry {
  return settles instanceof Promise ? settles.then(() => '') : '';
}
