import { STEP_NAMES } from '../kernel/step.ts';
import { CHOICE_TAGS, type ChoiceTag } from './oracle.ts';
import { RecordingOracle } from './recording-oracle.ts';

/** Something that goes wrong, in words: at the nth time that it could. */
export interface Fault {
  /** What: `'alloc.fail'`, `'device.stall'`; see {@link CHOICE_TAGS}. */
  readonly tag: ChoiceTag;
  /** At which time, from 1; the first where left out. With `step`, the times at that step are counted. */
  readonly nth?: number;
  /** How many times in a row from there on; once where left out, `Infinity` for good. */
  readonly times?: number;
  /** For `step.signal` and `interrupt.spurious`: at this step of the kernel only, `'R3b'`. */
  readonly step?: string;
  /** Which way, for choices of more than two: 3 makes `device.delay` a thousandfold. 1 where left out. */
  readonly way?: number;
}

/**
 * An oracle for one machine that is calm but for the faults of a plan.
 *
 * @example
 * ```ts
 * import { EduDevice, emulated, faults } from '@usrdrv/emu';
 * const oracle = faults([{ tag: 'pci.enable' }, { tag: 'device.stall' }]);
 * using backend = emulated({ devices: [new EduDevice()], oracle });
 * try {
 *   backend.pci.open('0000:00:04.0', { dmaMask: 0xfff_ffffn });
 * } catch (error) {
 *   console.log(String(error)); // SystemError: EINVAL: invalid argument, usr_pci_open '0000:00:04.0'
 * }
 * console.log(oracle.unused); // [ { tag: 'device.stall' } ]
 * ```
 * @throws RangeError an unknown tag or step; a number that is no integer >= 1 (`times`: or Infinity)
 */
export function faults(plan: Iterable<Fault>): FaultPlan {
  return new FaultPlan(plan);
}

/** What {@link faults} makes. */
export class FaultPlan extends RecordingOracle {
  readonly #planned = new Map<ChoiceTag, PlannedFault[]>();

  constructor(plan: Iterable<Fault>) {
    super();
    for (const fault of plan) {
      const planned = new PlannedFault(fault);
      const others = this.#planned.get(fault.tag);
      if (others === undefined) this.#planned.set(fault.tag, [planned]);
      else others.push(planned);
    }
  }

  protected decide(tag: ChoiceTag, step: string | undefined): number {
    const planned = this.#planned.get(tag);
    if (planned === undefined) return 0;
    let way = 0;
    // Each counts for itself, so all are asked.
    for (const each of planned) way = Math.max(way, each.decide(step));
    return way;
  }

  /** The faults that did not happen: the run was over before, or never came to that step. */
  get unused(): readonly Fault[] {
    return [...this.#planned.values()].flatMap((each) => each.filter(({ used }) => !used).map(({ fault }) => fault));
  }
}

class PlannedFault {
  used = false;
  readonly #first: number;
  readonly #last: number;
  readonly #way: number;
  #seen = 0;

  constructor(readonly fault: Fault) {
    const { tag, nth = 1, times = 1, step, way = 1 } = fault;
    if (!CHOICE_TAGS.includes(tag)) throw new RangeError(`nothing that can go wrong is called ${JSON.stringify(tag)}`);
    if (step !== undefined) {
      if (tag !== 'step.signal' && tag !== 'interrupt.spurious') throw new RangeError(`${tag} is not asked at a step`);
      if (!STEP_NAMES.has(step)) throw new RangeError(`no step of the kernel is called ${JSON.stringify(step)}`);
    }
    this.#first = atLeastOne('nth', nth);
    this.#last = this.#first + (times === Number.POSITIVE_INFINITY ? times : atLeastOne('times', times)) - 1;
    this.#way = atLeastOne('way', way);
  }

  decide(step: string | undefined): number {
    if (this.fault.step !== undefined && this.fault.step !== step) return 0;
    this.#seen++;
    if (this.#seen < this.#first || this.#seen > this.#last) return 0;
    this.used = true;
    return this.#way;
  }
}

function atLeastOne(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new RangeError(`${name} is an integer >= 1, not ${String(value)}`);
}
