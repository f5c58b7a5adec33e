/** A small mistake in the kernel: what a file says, and what it says instead. */
export interface Mutant {
  readonly what: string;
  /** Below packages/emu/src/kernel. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Why nobody can tell: a mutant that is as good as the original. */
  readonly equivalent?: string;
}

const FILE = 'irq-file-usrdrv.ts';
const CORE = 'irq-core-6.1.ts';
const MASK = 'this.core.disableNosync(this.desc.irq);\n    this.masked = true;';
const SYNCHRONIZE = 'while (this.core.inProgress(this.desc.irq)) yield CPU_RELAX;';
const STOP_COUNT = 'if (cpu.stopsAt(HANDLER_COUNT)) yield HANDLER_COUNT;';
const STOP_WAKE = 'if (cpu.stopsAt(HANDLER_WAKE)) yield HANDLER_WAKE;';
const WAKE = `${STOP_WAKE}\n    this.#wake(cpu);`;
const TAKE = 'const pending = this.count;\n      this.count = 0;';
const ARM = 'this.masked = false;\n      this.core.enable(this.desc.irq);';
const SLEEP_ARM =
  'const ready = this.#arm(task.cpu);\n      if (task.cpu.stopsAt(LOOK)) yield LOOK;\n      const interrupted';
const QUEUE =
  'this.wait.add(entry);\n      task.state = TASK_INTERRUPTIBLE;\n      if (task.cpu.stopsAt(ARM)) yield ARM;';

const POLL_LOOKS = `if (task.cpu.stopsAt(ARM)) yield ARM;
    while (!this.#lock.tryAcquire(task.cpu)) yield CPU_RELAX;
    const ready = this.#arm(task.cpu);
    if (task.cpu.stopsAt(LOOK)) yield LOOK;
    if (this.removed) return READABLE | POLLERR | POLLHUP;`;

export const MUTANTS: readonly Mutant[] = [
  { what: 'the handler does not mask', file: FILE, from: MASK, to: '' },
  {
    what: 'the handler masks, and does not note it',
    file: FILE,
    from: MASK,
    to: 'this.core.disableNosync(this.desc.irq);',
  },
  { what: 'the handler notes that it masks, and does not', file: FILE, from: MASK, to: 'this.masked = true;' },
  { what: 'the handler does not count', file: FILE, from: 'this.count++;', to: '' },
  { what: 'the handler counts two', file: FILE, from: 'this.count++;', to: 'this.count += 2;' },
  { what: 'the handler counts one, however many there are', file: FILE, from: 'this.count++;', to: 'this.count = 7;' },
  { what: 'the handler wakes nobody', file: FILE, from: WAKE, to: STOP_WAKE },
  {
    what: 'the handler wakes, then counts',
    file: FILE,
    from: `${STOP_COUNT}\n    this.#countOne(cpu);`,
    to: `this.#wake(cpu);\n    this.#lock.release(cpu);\n    ${STOP_COUNT}\n    this.#countOne(cpu);\n    return IRQ_HANDLED;`,
  },
  {
    what: 'the handler keeps the lock',
    file: FILE,
    from: `this.#lock.release(cpu);\n    ${STOP_WAKE}`,
    to: STOP_WAKE,
  },
  {
    what: 'the handler wakes for something else',
    file: FILE,
    from: WAKE,
    to: `${STOP_WAKE}\n    this.wait.wakeUp(POLLERR);`,
    equivalent: 'an error wakes everyone too, and who is woken looks at the count',
  },
  { what: 'read leaves the count', file: FILE, from: TAKE, to: 'const pending = this.count;' },
  {
    what: 'read takes one, and drops the rest',
    file: FILE,
    from: TAKE,
    to: 'const pending = Math.min(this.count, 1);\n      this.count = 0;',
  },
  {
    what: 'read looks, then takes, without the lock',
    file: FILE,
    from: `${TAKE}\n      this.#lock.release(task.cpu);`,
    to: 'const pending = this.count;\n      this.#lock.release(task.cpu);\n      yield DRAIN;\n      this.count = 0;',
  },
  {
    what: 'read subtracts after it has copied, as in 2005',
    file: FILE,
    from: 'if (task.cpu.stopsAt(COPY)) yield COPY;\n        if (task.process.mm.putInt32(buf, pending)) {',
    to: 'this.count += pending;\n        if (task.cpu.stopsAt(COPY)) yield COPY;\n        if (task.process.mm.putInt32(buf, pending)) {\n          this.count -= pending;',
  },
  { what: 'read does not put back what it could not copy', file: FILE, from: 'this.count += pending;', to: '' },
  { what: 'read puts back twice', file: FILE, from: 'this.count += pending;', to: 'this.count += 2 * pending;' },
  {
    what: 'read puts back, and wakes nobody',
    file: FILE,
    from: 'this.wait.wakeUp(READABLE);\n        return -EFAULT;',
    to: 'return -EFAULT;',
  },
  {
    what: 'read does not arm before it sleeps',
    file: FILE,
    from: SLEEP_ARM,
    to: 'this.#lock.release(task.cpu);\n      const ready = false;\n      if (task.cpu.stopsAt(LOOK)) yield LOOK;\n      const interrupted',
  },
  {
    what: 'read queues after it has armed',
    file: FILE,
    from: QUEUE,
    to: 'if (task.cpu.stopsAt(ARM)) yield ARM;\n      task.state = TASK_INTERRUPTIBLE;',
  },
  {
    what: 'read does not go to sleep',
    file: FILE,
    from: 'task.state = TASK_INTERRUPTIBLE;\n      if (task.cpu.stopsAt(ARM)) yield ARM;',
    to: 'if (task.cpu.stopsAt(ARM)) yield ARM;',
  },
  {
    what: 'read sleeps although a signal waits',
    file: FILE,
    from: 'this.removed || interrupted) task',
    to: 'this.removed) task',
  },
  {
    what: 'read sleeps behind what another reader has taken',
    file: FILE,
    from: 'if (ready || this.count > 0 || this.removed || interrupted)',
    to: 'if (this.count > 0 || this.removed || interrupted)',
  },
  {
    what: 'read does not look again before it sleeps',
    file: FILE,
    from: 'if (ready || this.count > 0 || this.removed || interrupted)',
    to: 'if (ready || this.removed || interrupted)',
    equivalent: 'the reader is on the queue before it arms, so whoever counts one up wakes it',
  },
  {
    what: 'read says EINTR although there is a count',
    file: FILE,
    from: 'if (this.count === 0 && task.signalPending)',
    to: 'if (task.signalPending)',
    equivalent: 'an interrupted read consumes nothing (P3): the next one has the count',
  },
  {
    what: 'a non-blocking read does not arm',
    file: FILE,
    from: 'const ready = this.#arm(task.cpu);\n        if (task.cpu.stopsAt(LOOK)) yield LOOK;',
    to: 'this.#lock.release(task.cpu);\n        const ready = false;\n        if (task.cpu.stopsAt(LOOK)) yield LOOK;',
  },
  {
    what: 'a non-blocking read does not look again',
    file: FILE,
    from: 'if (!ready && this.count === 0) return',
    to: 'if (!ready) return',
  },
  { what: 'poll does not register', file: FILE, from: 'table?.wait(this.wait);', to: '' },
  {
    what: 'poll does not arm',
    file: FILE,
    from: 'const ready = this.#arm(task.cpu);\n    if (task.cpu.stopsAt(LOOK)) yield LOOK;',
    to: 'this.#lock.release(task.cpu);\n    const ready = false;\n    if (task.cpu.stopsAt(LOOK)) yield LOOK;',
  },
  {
    what: 'poll registers last',
    file: FILE,
    from: `table?.wait(this.wait);\n    ${POLL_LOOKS}\n    return ready || this.count > 0 ? READABLE : 0;`,
    to: `${POLL_LOOKS}\n    const mask = ready || this.count > 0 ? READABLE : 0;\n    if (task.cpu.stopsAt(POLL_WAIT)) yield POLL_WAIT;\n    table?.wait(this.wait);\n    return mask;`,
  },
  { what: 'arming does not look at the count', file: FILE, from: 'if (!ready && this.masked)', to: 'if (this.masked)' },
  { what: 'arming enables what is not masked', file: FILE, from: 'if (!ready && this.masked)', to: 'if (!ready)' },
  { what: 'arming does not note it', file: FILE, from: ARM, to: 'this.core.enable(this.desc.irq);' },
  { what: 'arming does not enable', file: FILE, from: ARM, to: 'this.masked = false;' },
  {
    what: 'arming keeps the lock',
    file: FILE,
    from: 'this.#lock.release(cpu);\n    return ready;',
    to: 'return ready;',
  },
  { what: 'release does not free the line', file: FILE, from: 'this.core.free(this.desc.irq, this);', to: '' },
  {
    what: 'release keeps an edge for the next owner',
    file: FILE,
    from: `${SYNCHRONIZE}\n    this.core.forgetEdge(this.desc.irq);`,
    to: SYNCHRONIZE,
  },
  {
    what: 'release does not wait for what is on its way',
    file: FILE,
    from: 'while (this.core.isSent(this.desc.irq)) yield CPU_RELAX;',
    to: '',
  },
  { what: 'request does not start the line', file: CORE, from: 'this.#startup(desc);\n    return 0;', to: 'return 0;' },
  { what: 'enable leaves the depth', file: CORE, from: 'desc.depth = 0;\n', to: '' },
  { what: 'enable leaves the line disabled', file: CORE, from: 'desc.status &= ~IRQ_DISABLED;', to: '' },
  {
    what: 'enable does not unmask',
    file: CORE,
    from: 'desc.chip.unmask(desc.irq);\n    if (desc.level)',
    to: 'if (desc.level)',
  },
  { what: 'enable does not send again', file: CORE, from: 'desc.chip.retrigger(desc.irq);', to: '' },
  {
    what: 'free leaves the line enabled',
    file: CORE,
    from: 'desc.status |= IRQ_DISABLED;\n      desc.unlazy',
    to: 'desc.unlazy',
    equivalent: 'release has disabled the line before it frees it',
  },
  {
    what: 'an edge of a disabled line is not kept',
    file: CORE,
    from: 'desc.status |= IRQ_PENDING;\n      chip.mask(irq);\n      chip.eoi',
    to: 'chip.mask(irq);\n      chip.eoi',
  },
  {
    what: 'no end of interrupt for a level line',
    file: CORE,
    from: 'if (!isPic(desc.chip)) desc.chip.eoi(desc.irq);',
    to: 'if (!isPic(desc.chip)) void 0;',
  },
  {
    what: 'a flow never ends',
    file: CORE,
    from: 'desc.status &= ~IRQ_INPROGRESS;\n    if (!desc.level)',
    to: 'if (!desc.level)',
  },
  {
    what: 'only the first waiter is woken',
    file: 'wait-queue.ts',
    from: 'for (const entry of [...this.#entries]) entry.wake(key);',
    to: 'this.#entries[0]?.wake(key);',
  },
  {
    what: 'poll forgets that it was woken before it sleeps',
    file: 'poll.ts',
    from: 'if (this.triggered || task.signalPending) task.state',
    to: 'if (task.signalPending) task.state',
  },
  {
    what: 'poll does not let its files go',
    file: 'poll.ts',
    from: 'for (const entry of this.#entries) yield* entry.leave().put(this.task);',
    to: '',
  },
  {
    what: 'epoll does not ask a level-triggered item again',
    file: 'epoll.ts',
    from: 'else if ((item.events & EPOLLET) === 0) this.#relink(item);',
    to: '',
  },
  { what: 'epoll does not hear of wake-ups', file: 'epoll.ts', from: 'this.#set.link(this);', to: '' },
];
