import type { Cpu } from '../machine/cpu.ts';
import type { IrqChip } from '../machine/irq-chip.ts';
import { type Step, type Steps, step } from './step.ts';

export const IRQ_NONE = 0;
export const IRQ_HANDLED = 1;
export type IrqReturn = typeof IRQ_NONE | typeof IRQ_HANDLED;

/** The interrupt may be shared with others that say so too (SA_SHIRQ, IRQF_SHARED). */
export const IRQF_SHARED = 0x80;

/** What a handler returns: at once where nobody wants to come in between two of its steps. */
export type Handled = IrqReturn | Steps<IrqReturn>;

/** One handler of a line (struct irqaction). */
export interface IrqAction {
  readonly handler: (cpu: Cpu, irq: number) => Handled;
  readonly flags: number;
  /** Shown in /proc/interrupts. */
  readonly name: string;
  /** Tells the handlers of a shared line apart. */
  readonly devId: object | undefined;
}

/** What request_irq() is given, which may be nothing to call. */
export interface IrqRequest extends Omit<IrqAction, 'handler'> {
  readonly handler: IrqAction['handler'] | undefined;
}

export function hasHandler(request: IrqRequest): request is IrqAction {
  return request.handler !== undefined;
}

/** Status bits of a line (I), in both profiles; 6.1 spreads them over two words. */
export const IRQ_INPROGRESS = 1;
export const IRQ_DISABLED = 2;
export const IRQ_PENDING = 4;
export const IRQ_REPLAY = 8;
export const IRQ_WAITING = 16;
export const IRQ_LEVEL = 32;

/** The kernel's record of one interrupt line (irq_desc). */
export class IrqDesc {
  status: number;
  /** How many disables are not yet undone. */
  depth = 1;
  readonly actions: IrqAction[] = [];
  /** 6.1: disabling masks at the controller at once, not when the line fires again (IRQ_DISABLE_UNLAZY). */
  unlazy = false;
  /** Interrupts since the last check for spurious ones, and how many of them nobody handled (I6). */
  irqCount = 0;
  irqsUnhandled = 0;
  /** Interrupts taken, by processor: the columns of /proc/interrupts. */
  readonly counts: number[];

  constructor(
    readonly irq: number,
    readonly chip: IrqChip,
    processors: number,
  ) {
    this.status = IRQ_DISABLED | (chip.trigger(irq) === 'level' ? IRQ_LEVEL : 0);
    this.counts = Array.from({ length: processors }, () => 0);
  }

  /** The one action of a line that nobody shares. */
  get action(): IrqAction | undefined {
    return this.actions.length === 1 ? this.actions[0] : undefined;
  }

  /** Takes the action of a device out. Whether there was one. */
  unlink(devId: object | undefined): boolean {
    const { actions } = this;
    // Nearly always the only one: splice() makes an array of what it takes out.
    if (actions.length === 1 && actions[0]?.devId === devId) return actions.pop() !== undefined;
    const at = actions.findIndex((action) => action.devId === devId);
    if (at >= 0) actions.splice(at, 1);
    return at >= 0;
  }

  get level(): boolean {
    return (this.status & IRQ_LEVEL) !== 0;
  }
}

/** What the rest of the kernel asks of an interrupt core, whichever version it is. */
export interface IrqCore {
  /** request_irq(): 0 or -errno (I1, I2). */
  request(irq: number, action: IrqRequest): number;
  /** The first half of free_irq() (I7): unlinks the action. A processor may still run it while {@link inProgress}. */
  free(irq: number, devId: object | undefined): void;
  /** Whether a processor runs the line's handlers: what synchronize_irq() waits for, the second half of free_irq(). */
  inProgress(irq: number): boolean;
  /** disable_irq_nosync() (I3). */
  disableNosync(irq: number): void;
  /** enable_irq() (I4). */
  enable(irq: number): void;
  /**
   * The flow of one interrupt that a processor has taken (I5): what is left of it where somebody may want to come in between
   * two steps, undefined where it is over.
   */
  handle(cpu: Cpu, irq: number): Flow | undefined;
  desc(irq: number): IrqDesc | undefined;
  descs(): Iterable<IrqDesc>;
  /** Drops an edge that is held back for a later resend: whoever claims the line now did not wait for it (D9). */
  forgetEdge(irq: number): void;
  /** Whether the interrupt has been sent to a processor that has not taken it: what kick_all_cpus_sync() sees arrive. */
  isSent(irq: number): boolean;
  /** Interrupt numbers for so many message vectors, in a row; undefined where they run out. */
  allocMsi(count: number): number[] | undefined;
  freeMsi(irqs: readonly number[]): void;
  /** What the kernel complained about: `Unbalanced enable for IRQ 16`. */
  readonly warnings: string[];
}

/** I6: how many interrupts are looked at together, and how many of them unhandled are too many. */
const SPURIOUS_WINDOW = 100_000;
const SPURIOUS_LIMIT = 99_900;

/** I6 note_interrupt(): whether the line has to be disabled, because nobody handles what comes. */
export function noteInterrupt(desc: IrqDesc, result: IrqReturn): boolean {
  if (result !== IRQ_HANDLED) desc.irqsUnhandled++;
  desc.irqCount++;
  if (desc.irqCount < SPURIOUS_WINDOW) return false;
  const tooMany = desc.irqsUnhandled > SPURIOUS_LIMIT;
  desc.irqCount = 0;
  desc.irqsUnhandled = 0;
  return tooMany;
}

/** A step as a flow stops at it. Made once, as a flow stops at each interrupt. */
export type Stop = IteratorYieldResult<Step>;

export function stop(name: string): Stop {
  return { done: false, value: step(name) };
}

/** What a flow does around the handlers of its line, and the steps before and after them. */
export interface IrqFlow {
  readonly run: Stop;
  readonly ran: Stop;
  start(desc: IrqDesc): void;
  /** Whether the handlers have to run again. */
  end(desc: IrqDesc, result: IrqReturn): boolean;
}

/** What is left of an interrupt that a processor has taken: to the next step, until it is over. */
export type Flow = Pick<Steps<void>, 'next'>;

/** The part of a flow that has handlers run: over at once, unless somebody may want to come in between two steps. */
export function handleIrqEvent(flow: IrqFlow, cpu: Cpu, desc: IrqDesc): Flow | undefined {
  if (cpu.mayStop) return new StoppingFlow(flow, cpu, desc);
  do flow.start(desc);
  while (flow.end(desc, straight(runActions(desc, cpu))));
  return undefined;
}

/** Start, `run`, the handlers, `ran`, end, over and over. Written out: generators in generators cost three times as much. */
class StoppingFlow implements Flow {
  #at: 'begin' | 'run' | 'handlers' | 'ran' = 'begin';
  #handled: Handled = IRQ_NONE;

  constructor(
    private readonly flow: IrqFlow,
    private readonly cpu: Cpu,
    private readonly desc: IrqDesc,
  ) {}

  next(): IteratorResult<Step, void> {
    const { flow, desc, cpu } = this;
    for (;;) {
      if (this.#at === 'begin') {
        flow.start(desc);
        this.#at = 'run';
        if (cpu.stopsAt(flow.run.value)) return flow.run;
      }
      if (this.#at === 'run') {
        this.#handled = runActions(desc, cpu);
        this.#at = 'handlers';
      }
      if (this.#at === 'handlers') {
        if (typeof this.#handled !== 'number') {
          const next = this.#handled.next();
          if (next.done !== true) return next;
          this.#handled = next.value;
        }
        this.#at = 'ran';
        if (cpu.stopsAt(flow.ran.value)) return flow.ran;
      }
      if (!flow.end(desc, typeof this.#handled === 'number' ? this.#handled : IRQ_NONE)) return OVER;
      this.#at = 'begin';
    }
  }
}
const OVER: IteratorReturnResult<void> = { done: true, value: undefined };

function straight(handled: Handled): IrqReturn {
  if (typeof handled === 'number') return handled;
  for (;;) {
    const next = handled.next();
    if (next.done === true) return next.value;
  }
}

/** Runs the handlers of a line; of a shared one all of them, and it is handled where one of them says so. */
function runActions(desc: IrqDesc, cpu: Cpu): Handled {
  return desc.action === undefined ? runShared(desc, cpu) : desc.action.handler(cpu, desc.irq);
}

function* runShared(desc: IrqDesc, cpu: Cpu): Steps<IrqReturn> {
  let result: IrqReturn = IRQ_NONE;
  for (const action of [...desc.actions]) {
    const handled = action.handler(cpu, desc.irq);
    const one = typeof handled === 'number' ? handled : yield* handled;
    if (one !== IRQ_NONE) result = one;
  }
  return result;
}
