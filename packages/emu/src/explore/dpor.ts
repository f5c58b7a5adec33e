import type { Step } from '../kernel/step.ts';
import { type Actor, TAKE } from './actor.ts';
import { conflict, type Footprint, footprint } from './footprint.ts';
import type { Strategy } from './strategy.ts';

/** A choice on the way of the present run: who takes a step, or anything else. */
interface Node {
  readonly schedule: boolean;
  /** Who could take a step, as bits; who has to be tried; who has been; whose turn here makes no difference. */
  readonly enabled: number;
  backtrack: number;
  done: number;
  readonly sleep: ReadonlyMap<number, Footprint>;
  /** What those who have been tried did. */
  readonly tried: Map<number, Footprint>;
  /** Who takes the step now, and what it does. */
  actor: number;
  footprint: Footprint;
  /** Who took the last step and could go on, as a bit; and the preemptions before this one. */
  readonly current: number;
  readonly used: number;
  /** A processor takes an interrupt; and is done with it. */
  takes: boolean;
  ends: boolean;
  /** Other choices: how many ways, and which. */
  readonly ways: number;
  way: number;
}

const NOTHING: Footprint = { reads: 0, writes: 0 };
const NOBODY: ReadonlyMap<number, Footprint> = new Map();

/**
 * Every schedule, but for those that differ from one that was made only in the order of steps that do not touch each other
 * (dynamic partial-order reduction, Flanagan and Godefroid 2005, with sleep sets). Which steps do is declared beside
 * {@link footprint}.
 */
export class PartialOrder implements Strategy {
  readonly name = 'dpor';
  readonly everyStep = true;
  readonly bound: string;
  exhausted = false;
  readonly #nodes: Node[] = [];
  readonly #actors: (Actor | undefined)[] = [];
  #fixed = 0;
  #length = 0;
  #first = true;
  /** The position of the step that is being taken. */
  #taking = -1;
  readonly #most: number;

  /**
   * @param preemptions at most so many in a run; left out: any number. With a bound it is a fast search, not a complete one:
   *   the one run that stands for others may be the one with too many
   */
  constructor(preemptions = Number.POSITIVE_INFINITY) {
    this.#most = preemptions;
    const within = preemptions === Number.POSITIVE_INFINITY ? '' : `within ${preemptions} preemptions, `;
    this.bound = `${within}but for the order of independent steps`;
  }

  begin(): boolean {
    if (!this.#first && !this.#backtrack()) return false;
    this.#first = false;
    this.#length = 0;
    this.#taking = -1;
    return true;
  }

  stays(): boolean {
    return false;
  }

  schedule(at: number, enabled: readonly Actor[], count: number, preempts: boolean): number {
    const known = at < this.#fixed ? this.#nodes[at] : undefined;
    const sleep = known === undefined ? this.#sleep() : known.sleep;
    this.#taking = at;
    this.#length = at + 1;
    if (known !== undefined) {
      for (let way = 0; way < count; way++) if (enabled[way]?.id === known.actor) return way;
      throw new Error('BUG: who took this step the last time cannot take it now');
    }
    let bits = 0;
    let chosen = -1;
    for (let way = 0; way < count; way++) {
      const id = enabled[way]?.id ?? 0;
      bits |= 1 << id;
      if (chosen < 0 && !sleep.has(id)) chosen = way;
    }
    if (chosen < 0) {
      this.#length = at;
      return -1;
    }
    const actor = enabled[chosen]?.id ?? 0;
    this.#nodes.length = at;
    this.#nodes.push({
      schedule: true,
      enabled: bits,
      backtrack: 1 << actor,
      done: 0,
      sleep,
      tried: new Map(),
      actor,
      footprint: NOTHING,
      current: preempts ? 1 << (enabled[0]?.id ?? 0) : 0,
      used: this.#usedBefore(at),
      takes: false,
      ends: false,
      ways: 1,
      way: 0,
    });
    return chosen;
  }

  pick(at: number, n: number): number {
    this.#length = at + 1;
    if (at < this.#fixed) return this.#nodes[at]?.way ?? 0;
    this.#nodes.length = at;
    this.#nodes.push({
      schedule: false,
      enabled: 0,
      backtrack: 0,
      done: 0,
      sleep: NOBODY,
      tried: new Map(),
      actor: -1,
      footprint: NOTHING,
      current: 0,
      used: this.#usedBefore(at),
      takes: false,
      ends: false,
      ways: n,
      way: 0,
    });
    return 0;
  }

  stepped(actor: Actor, step: Step): void {
    const node = this.#nodes[this.#taking];
    if (node === undefined) return;
    node.footprint = footprint(actor, step, actor.id);
    node.takes = step === TAKE;
    node.ends = actor.kind === 'interrupt' && actor.steps === undefined;
    this.#actors[actor.id] = actor;
  }

  end(): void {
    this.#nodes.length = this.#length;
    this.#races();
  }

  #usedBefore(at: number): number {
    const before = this.#nodes[at - 1];
    return before === undefined ? 0 : before.used + costs(before, before.actor);
  }

  /** Who need not be tried in what follows the last step: it was tried before it, and the two do not touch each other. */
  #sleep(): ReadonlyMap<number, Footprint> {
    let at = this.#length - 1;
    while (at >= 0 && this.#nodes[at]?.schedule !== true) at--;
    const before = this.#nodes[at];
    if (before === undefined || (before.sleep.size === 0 && before.tried.size === 0)) return NOBODY;
    const sleep = new Map<number, Footprint>();
    for (const [id, did] of before.sleep) {
      if (id !== before.actor && !conflict(did, before.footprint)) sleep.set(id, did);
    }
    for (const [id, did] of before.tried) {
      if (id !== before.actor && !conflict(did, before.footprint)) sleep.set(id, did);
    }
    return sleep;
  }

  /** Two steps that touch each other, and that nothing orders, are to be tried the other way round. */
  #races(): void {
    const nodes = this.#nodes;
    const clocks: number[][] = [];
    const lastOf: (number | undefined)[] = [];
    for (const [at, node] of nodes.entries()) {
      if (!node.schedule) {
        clocks.push([]);
        continue;
      }
      const { actor, footprint: did } = node;
      const own = lastOf[actor];
      const before = own === undefined ? [] : (clocks[own] ?? []);
      const clock = [...before];
      let reversed = false;
      for (let other = at - 1; other >= 0; other--) {
        const earlier = nodes[other];
        if (earlier === undefined || !earlier.schedule || earlier.actor === actor) continue;
        if (!conflict(earlier.footprint, did)) continue;
        const ordered = other <= (before[earlier.actor] ?? -1);
        if (!ordered && !reversed) {
          reversed = true;
          this.#tryAt(other, actor);
          // Within a bound that may be a preemption too many; where the other one started it is none.
          if (this.#most !== Number.POSITIVE_INFINITY) this.#tryAt(this.#startOf(other), actor);
        }
        merge(clock, clocks[other] ?? []);
        clock[earlier.actor] = Math.max(clock[earlier.actor] ?? -1, other);
      }
      clock[actor] = at;
      clocks.push(clock);
      lastOf[actor] = at;
    }
  }

  /** Has an actor tried in place of whoever took a step; or, where it could not, everybody who could. */
  #tryAt(at: number, actor: number): void {
    const node = this.#nodes[at];
    if (node === undefined) return;
    if ((node.enabled & (1 << actor)) !== 0) {
      node.backtrack |= 1 << actor;
      return;
    }
    node.backtrack |= node.enabled;
    // A thread that waits for the handlers on its processor to be over has its chance before they start.
    const taken = this.#interruptedAt(at, actor);
    if (taken !== undefined) this.#tryAt(taken, actor);
  }

  /** Where whoever took a step took over. */
  #startOf(at: number): number {
    const actor = this.#nodes[at]?.actor;
    let start = at;
    for (let before = at - 1; before >= 0; before--) {
      const node = this.#nodes[before];
      if (node?.schedule !== true) continue;
      if (node.actor !== actor) break;
      start = before;
    }
    return start;
  }

  /** Where the interrupt was taken that keeps a thread from its processor at that step. */
  #interruptedAt(at: number, actor: number): number | undefined {
    const cpu = this.#actors[actor]?.cpu;
    if (cpu === undefined || this.#actors[actor]?.kind !== 'thread') return undefined;
    for (let before = at - 1; before >= 0; before--) {
      const node = this.#nodes[before];
      const who = node?.schedule === true ? this.#actors[node.actor] : undefined;
      if (node === undefined || who?.kind !== 'interrupt' || who.cpu !== cpu) continue;
      if (node.ends) return undefined;
      if (node.takes) return before;
    }
    return undefined;
  }

  #backtrack(): boolean {
    const nodes = this.#nodes;
    for (let at = nodes.length - 1; at >= 0; at--) {
      const node = nodes[at];
      if (node === undefined) continue;
      if (!node.schedule) {
        if (node.way + 1 < node.ways) {
          node.way++;
          nodes.length = at + 1;
          this.#fixed = at + 1;
          return true;
        }
        continue;
      }
      node.done |= 1 << node.actor;
      node.tried.set(node.actor, node.footprint);
      let left = node.backtrack & ~node.done;
      if (node.used >= this.#most && node.current !== 0) left &= node.current;
      for (const id of node.sleep.keys()) left &= ~(1 << id);
      if (left === 0) continue;
      node.actor = 31 - Math.clz32(left & -left);
      nodes.length = at + 1;
      this.#fixed = at + 1;
      return true;
    }
    this.exhausted = true;
    return false;
  }
}

function merge(into: number[], from: readonly number[]): void {
  for (let actor = 0; actor < from.length; actor++) {
    const at = from[actor];
    if (at !== undefined && at > (into[actor] ?? -1)) into[actor] = at;
  }
}

/** Whether it is a preemption to let somebody take a step there. */
function costs({ current }: Node, actor: number): number {
  return current !== 0 && actor >= 0 && current !== 1 << actor ? 1 : 0;
}
