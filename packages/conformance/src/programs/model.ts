import {
  EAGAIN,
  EBADF,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  ENOENT,
  type KernelProfile,
  O_ACCMODE,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDNORM,
} from '@usrdrv/core';
import { ModelEpoll } from './model-epoll.ts';
import { ModelPci } from './model-pci.ts';
import { failed, LEFT_OUT, type Prediction } from './prediction.ts';
import type { Call, CallOf, Meanwhile } from './program.ts';

/** No user space ends so far up. */
const TOO_LONG = 2 ** 47;

/** An open file: what descriptors of one or two processes refer to. */
export interface ModelFile {
  readonly kind: 'irq' | 'pci' | 'epoll';
  flags: number;
  refs: number;
}

type Fds = (ModelFile | undefined)[];

/**
 * What the rules say that each call of a program returns. No kernel, only the state that the rules speak of: one device
 * with its line, a parent and perhaps a child, and one call at a time.
 */
export class Model {
  /** P: the open line with its count; undefined while nobody has it. */
  #line: { readonly file: ModelFile; count: number; masked: boolean } | undefined;
  /** The interrupt status of the device: its line is asserted while that is not 0. */
  #status = 0;
  /** Interrupts taken since the start. */
  #taken = 0;
  /** Whether the signal is handled; else it is ignored. */
  #handled = true;
  readonly #parent: Fds = [];
  #child: Fds | undefined;
  readonly #sets = new Map<ModelFile, ModelEpoll>();
  readonly #pci: ModelPci;

  constructor(private readonly profile: KernelProfile) {
    this.#pci = new ModelPci(profile);
  }

  /** Makes a call, and says what it logs. */
  call(call: Call): Prediction {
    const child = call.child === true ? this.#child : undefined;
    const fds = child ?? this.#parent;
    switch (call.call) {
      case 'open':
        return this.#openIrq(fds, call);
      case 'close':
        return this.#close(fds, call.fd);
      case 'dup':
        return with_(fds[call.fd], (file) => this.#install(fds, file));
      case 'getfl':
        // U1 says what a PCI descriptor cannot do, not what its flags are.
        return with_(fds[call.fd], ({ kind, flags }) => (kind === 'pci' ? LEFT_OUT : modeOf(flags)));
      case 'setfl':
        return with_(fds[call.fd], (file) => {
          file.flags = (file.flags & ~O_NONBLOCK) | (call.flags & O_NONBLOCK);
          return '0';
        });
      case 'read':
        return this.#read(fds[call.fd], call);
      case 'write':
        // P7: no file that is open here takes a write.
        return with_(fds[call.fd], (file) => failed(file.kind === 'pci' || isReadOnly(file) ? EBADF : EINVAL));
      case 'poll':
        return this.#poll(fds, call);
      case 'select':
        return this.#select(fds, call);
      case 'epoll_create1':
        return this.#epollCreate(fds, call.flags);
      case 'epoll_ctl':
        return this.#epollCtl(fds, call);
      case 'epoll_wait':
        return this.#epollWait(fds, call);
      case 'raise':
        this.#raise(call.bits);
        return '';
      case 'acknowledge':
        this.#status &= ~call.bits;
        return '';
      case 'sigaction':
        this.#handled = call.handle;
        return '0';
      case 'kill':
        return this.#handled ? '0: handled' : '0: ignored';
      case 'fork':
        return this.#fork();
      case 'exit':
        return this.#exit();
      case 'observe':
        return this.#observe();
      case 'usr_pci_open':
        return this.#pci.open(call) ?? this.#install(fds, newFile('pci', O_RDONLY));
      case 'usr_pci_munmap':
        return this.#pci.unmap(fds[call.fd]?.kind === 'pci', call);
    }
    // What is left speaks of the memory of the parent.
    if (child !== undefined) return LEFT_OUT;
    if (call.call === 'mmap') return this.#pci.mmap(call);
    if (call.call === 'munmap') return this.#pci.munmap(call);
    const isPci = fds[call.fd]?.kind === 'pci';
    return call.call === 'usr_pci_mmap' ? this.#pci.map(isPci, call) : this.#pci.getConsistent(isPci, call);
  }

  /** The descriptors that are open in the parent or the child: all, or those of one kind. */
  open(child: boolean, kind: ModelFile['kind'] | undefined): number[] {
    const fds = (child ? this.#child : undefined) ?? this.#parent;
    return [...fds.keys()].filter((fd) => fds[fd] !== undefined && (kind === undefined || fds[fd]?.kind === kind));
  }

  // Files and processes.

  #openIrq(fds: Fds, { path, flags }: CallOf<'open'>): Prediction {
    if (path === 'missing') return failed(ENOENT);
    if (this.#line !== undefined) return failed(EBUSY);
    const file = newFile('irq', flags);
    // P9: unmasked from open; a level that is asserted counts at once.
    this.#line = { file, count: 0, masked: false };
    this.#fire();
    return this.#install(fds, file);
  }

  #install(fds: Fds, file: ModelFile): string {
    const free = fds.indexOf(undefined);
    const fd = free < 0 ? fds.length : free;
    fds[fd] = file;
    file.refs++;
    return `fd ${fd}`;
  }

  #close(fds: Fds, fd: number): Prediction {
    return with_(fds[fd], (file) => {
      fds[fd] = undefined;
      this.#put(file);
      return '0';
    });
  }

  /** P8: the last reference is gone. */
  #put(file: ModelFile): void {
    if (--file.refs > 0) return;
    for (const set of this.#sets.values()) set.forget(file);
    if (file.kind === 'irq') this.#line = undefined;
    else if (file.kind === 'pci') this.#pci.release();
    else this.#sets.delete(file);
  }

  #fork(): Prediction {
    if (this.#child !== undefined) return LEFT_OUT;
    this.#child = [...this.#parent];
    for (const file of this.#child) if (file !== undefined) file.refs++;
    return '0';
  }

  #exit(): Prediction {
    if (this.#child === undefined) return LEFT_OUT;
    for (const file of this.#child) if (file !== undefined) this.#put(file);
    this.#child = undefined;
    return '0';
  }

  #observe(): string {
    // /proc/interrupts of 2.6.11 lists a line only while somebody has it.
    const listed = this.#line !== undefined || this.profile === 'usrdrv-6.1';
    return `${listed ? this.#taken : 0} interrupts${this.#pci.busMaster ? ', bus master' : ''}`;
  }

  // P: the line.

  /** H: an unmasked line that is asserted is masked, counted, and wakes. */
  #fire(): void {
    const line = this.#line;
    if (line === undefined || line.masked || this.#status === 0) return;
    line.masked = true;
    line.count++;
    this.#taken++;
    this.#wake(line.file);
  }

  #wake(file: ModelFile): void {
    for (const set of this.#sets.values()) set.wake(file);
  }

  #raise(bits: number): void {
    this.#status |= bits;
    this.#fire();
  }

  /** P5: a read or poll that finds none unmasks. */
  #arm(): number {
    const line = this.#line;
    if (line === undefined || line.count > 0) return line?.count ?? 0;
    line.masked = false;
    this.#fire();
    return line.count;
  }

  #read(file: ModelFile | undefined, { buf, count, meanwhile }: CallOf<'read'>): Prediction {
    if (file === undefined || file.kind === 'pci' || (file.flags & O_ACCMODE) === O_WRONLY) return failed(EBADF);
    const line = this.#line;
    if (file.kind === 'epoll' || line === undefined) return failed(EINVAL);
    if (buf === 'kernel' || count >= TOO_LONG) return failed(EFAULT);
    if (count < 4) return failed(EINVAL);
    if (line.count === 0) {
      const there = this.#arm();
      if ((file.flags & O_NONBLOCK) !== 0) {
        // D7: in 2005 nobody looks again after unmasking.
        if (there === 0 || this.profile === 'chubb-2.6.11') return failed(EAGAIN);
      } else if (there === 0) {
        if (meanwhile !== 'raise') return failed(EINTR);
        this.#raise(1);
      }
    }
    if (buf !== 'ok') {
      // P3: what cannot be handed over stays. It was taken out for a moment, so who waits is told that it is back.
      if (this.profile === 'usrdrv-6.1') this.#wake(file);
      return failed(EFAULT);
    }
    const taken = line.count;
    line.count = 0;
    return `4: ${taken}`;
  }

  // P10, P14: waiting for any of several.

  /** The poll operation of a file. */
  readonly #filePoll = ({ kind }: ModelFile): number => {
    if (kind === 'pci') return POLLIN | POLLOUT | POLLRDNORM;
    return this.#arm() > 0 ? POLLIN | POLLRDNORM : 0;
  };

  #poll(fds: Fds, { fds: entries, timeout, meanwhile }: CallOf<'poll'>): Prediction {
    if (entries.some(({ fd }) => fds[fd]?.kind === 'epoll')) return LEFT_OUT;
    const found = this.#passes(timeout, meanwhile, () =>
      entries.map(({ fd, events }) => {
        const file = fds[fd];
        if (file === undefined) return fd < 0 ? 0 : POLLNVAL;
        return this.#filePoll(file) & events;
      }),
    );
    if (found === undefined) return failed(EINTR);
    return `${found.filter(Boolean).length}: ${found.join(' ')}`;
  }

  #select(fds: Fds, { read, timeout, meanwhile }: CallOf<'select'>): Prediction {
    const sorted = [...new Set(read)].sort((a, b) => a - b);
    if (sorted.some((fd) => fds[fd] === undefined)) return failed(EBADF);
    if (sorted.some((fd) => fds[fd]?.kind === 'epoll')) return LEFT_OUT;
    const found = this.#passes(timeout, meanwhile, () =>
      sorted.map((fd) => this.#filePoll(fds[fd] ?? newFile('irq', 0)) & POLLIN),
    );
    if (found === undefined) return failed(EINTR);
    const ready = sorted.filter((_, at) => found[at] !== 0);
    return `${ready.length}: ${ready.join(' ')}`;
  }

  /** Asks all, sleeps where none is ready and there is time, and asks again, at the timeout too. Undefined: EINTR. */
  #passes(timeout: number, meanwhile: Meanwhile, ask: () => number[]): number[] | undefined {
    const first = ask();
    if (timeout === 0 || first.some(Boolean)) return first;
    if (timeout < 0 && meanwhile === 'raise') this.#raise(1);
    const second = ask();
    return timeout > 0 || second.some(Boolean) ? second : undefined;
  }

  #epollCreate(fds: Fds, flags: number): Prediction {
    if (flags !== 0) return failed(EINVAL);
    const file = newFile('epoll', O_RDWR);
    this.#sets.set(file, new ModelEpoll(this.#filePoll));
    return this.#install(fds, file);
  }

  #epollCtl(fds: Fds, call: CallOf<'epoll_ctl'>): Prediction {
    const [set, file] = [fds[call.epfd], fds[call.fd]];
    if (set === undefined || file === undefined) return failed(EBADF);
    // A set within a set is nothing that the rules speak of.
    if (file.kind === 'epoll') return set === file ? failed(EINVAL) : LEFT_OUT;
    // Q0 comes before Q3: in 2005 a poll that finds a count does not register who waits.
    const deaf = this.profile === 'chubb-2.6.11' && (this.#line?.count ?? 0) > 0;
    return ModelEpoll.control(this.#sets.get(set), file, call, deaf);
  }

  #epollWait(fds: Fds, { epfd, maxevents, timeout, meanwhile }: CallOf<'epoll_wait'>): Prediction {
    if (maxevents <= 0) return failed(EINVAL);
    const file = fds[epfd];
    if (file === undefined) return failed(EBADF);
    const set = this.#sets.get(file);
    if (set === undefined) return failed(EINVAL);
    let ready = set.send();
    if (ready.length === 0 && timeout !== 0) {
      if (timeout < 0 && meanwhile === 'raise') this.#raise(1);
      ready = set.send();
      if (ready.length === 0 && timeout < 0) return failed(EINTR);
    }
    return `${ready.length}: ${ready.join(' ')}`;
  }
}

function newFile(kind: ModelFile['kind'], flags: number): ModelFile {
  return { kind, flags, refs: 0 };
}

function modeOf(flags: number): string {
  return `0${(flags & (O_ACCMODE | O_NONBLOCK)).toString(8)}`;
}

function isReadOnly({ flags }: ModelFile): boolean {
  return (flags & O_ACCMODE) === O_RDONLY;
}

function with_(file: ModelFile | undefined, act: (file: ModelFile) => Prediction): Prediction {
  return file === undefined ? failed(EBADF) : act(file);
}
