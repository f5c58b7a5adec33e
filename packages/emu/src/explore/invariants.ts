import { IRQ_DISABLED, IRQ_PENDING } from '../kernel/irq-desc.ts';
import { SCHEDULE, type Step } from '../kernel/step.ts';
import { TASK_INTERRUPTIBLE } from '../kernel/task.ts';
import type { Actor } from './actor.ts';
import type { IrqFile, WatchedLine } from './watched-line.ts';
import type { World } from './world.ts';

/** Something that must never be otherwise. What it returns is what is wrong, in words. */
export interface Invariant {
  readonly name: string;
  /** After each step. Hot: it looks, and builds a string only where something is wrong. */
  afterStep?(world: World, actor: Actor, step: Step): string | undefined;
  /** After a step that changed a line's count, mask or depth. Hot too. */
  ofLine?(line: WatchedLine, file: IrqFile): string | undefined;
  /** After a step in which the kernel has complained. */
  ofWarning?(warning: string): string | undefined;
  /** When nobody can go on any more. */
  atRest?(world: World): string | undefined;
  /** After everyone has come back and everything is closed. */
  atEnd?(world: World): string | undefined;
}

/** Where something went wrong, and what. */
export interface Violation {
  /** The name of the invariant. */
  readonly invariant: string;
  readonly what: string;
  /** The step that was taken last, and by whom. */
  readonly step: string;
  readonly actor: string;
}

/** S1: how many interrupts came since the last read is never less than none. */
const countsAreNotNegative: Invariant = {
  name: 'counts are not negative',
  ofLine: ({ irq }, { count }) => (count < 0 ? `the count of irq ${irq} is ${count}` : undefined),
};

/** S1, P5: the line is masked while an interrupt waits to be read; only who finds none lets it through. */
const maskedWhilePending: Invariant = {
  name: 'masked while pending',
  ofLine({ irq, desc }, { count }) {
    if (count <= 0 || (desc.status & IRQ_DISABLED) !== 0) return undefined;
    return `irq ${irq} is let through while ${count} wait to be read`;
  },
};

/** I3, I4: who has a line alone disables it once for each enable. */
const maskDepthIsBalanced: Invariant = {
  name: 'mask depth is balanced',
  ofLine({ irq, desc: { depth } }) {
    return depth < 0 || depth > 1 ? `irq ${irq} is disabled ${depth} times` : undefined;
  },
};

const noWarning: Invariant = {
  name: 'no kernel warning',
  ofWarning: (warning) => warning,
};

/** Delivered = returned + pending + dropped; and what was not delivered is still on its way. */
const interruptsAreConserved: Invariant = {
  name: 'interrupts are conserved',
  atRest({ lines, machine }) {
    for (const line of lines) {
      const { file, irq, delivered, returned } = line;
      if (file === undefined) continue;
      if (delivered !== returned + file.count) {
        return `irq ${irq}: ${delivered} were delivered, ${returned} read, ${file.count} wait`;
      }
      const onItsWay = (line.desc.status & IRQ_PENDING) !== 0 || line.asserted || machine.cpus.requests > 0;
      if (line.waiting && !onItsWay) return `irq ${irq}: an interrupt is lost`;
    }
    return undefined;
  },
  atEnd({ lines }) {
    for (const { desc, irq } of lines) {
      if (desc.actions.length === 0 && !desc.level && (desc.status & IRQ_PENDING) !== 0) {
        return `irq ${irq} has been closed, and keeps an interrupt pending that nobody will read`;
      }
    }
    return undefined;
  },
};

/** Whoever sleeps has nothing to wake up for. */
const noWakeUpIsLost: Invariant = {
  name: 'no wake-up is lost',
  atRest({ threads, lines }) {
    for (const { name, task, actor, reading } of threads) {
      if (actor.at !== SCHEDULE || actor.done) continue;
      if (task.signalPending && task.state === TASK_INTERRUPTIBLE)
        return `${name} sleeps although a signal waits for it`;
      for (const { file, irq } of lines) {
        if (file === undefined || file !== reading || file.count <= 0) continue;
        return `${name} sleeps in a read of irq ${irq}, whose count is ${file.count}`;
      }
    }
    return undefined;
  },
};

const everythingIsFreed: Invariant = {
  name: 'everything is freed',
  atEnd({ machine, lines }) {
    const { cpus, kernel } = machine;
    if (kernel.fileTable.count !== 0) return `${kernel.fileTable.count} files are still open`;
    if (cpus.locks !== 0) return `${cpus.locks} spinlocks are still held`;
    for (const cpu of cpus.all) if (cpu.irqsOff !== 0) return `processor ${cpu.id} takes no interrupts any more`;
    for (const { desc, irq } of lines) {
      if (desc.actions.length > 0) return `irq ${irq} still has a handler`;
      if ((desc.status & IRQ_DISABLED) === 0) return `irq ${irq} has no handler, and is let through`;
    }
    return undefined;
  },
};

const noDmaMisuse: Invariant = {
  name: 'no DMA misuse',
  atEnd: ({ machine }) => machine.dmaDebug.reports[0]?.what,
};

/** What holds for every kernel and every driver. */
export const INVARIANTS: readonly Invariant[] = [
  countsAreNotNegative,
  maskedWhilePending,
  maskDepthIsBalanced,
  noWarning,
  interruptsAreConserved,
  noWakeUpIsLost,
  everythingIsFreed,
  noDmaMisuse,
];
