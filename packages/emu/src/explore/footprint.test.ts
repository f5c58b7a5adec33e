import type { KernelProfile } from '@usrdrv/core';
import { describe, expect, it } from 'vitest';
import { SpinLock } from '../kernel/spinlock.ts';
import { WaitQueueHead } from '../kernel/wait-queue.ts';
import { explore } from './explore.ts';
import { COUNT, EPOLL, footprint, MASK, QUEUE } from './footprint.ts';
import type { Invariant } from './invariants.ts';
import { RandomWalk } from './random-strategies.ts';
import { SCENARIOS } from './scenarios.ts';
import type { World } from './world.ts';

const KERNELS: readonly KernelProfile[] = ['chubb-2.6.11', 'usrdrv-6.1'];

/** What the machine itself saw since the last step, in the bits of footprints. */
let reads = 0;
let writes = 0;

describe.each(KERNELS)('the footprints of steps on %s', (kernel) => {
  const scenarios = SCENARIOS.filter(({ only }) => (only?.kernel ?? kernel) === kernel);

  it.each(scenarios)('$name: declare every access to counts, masks and queues', (scenario) => {
    const undeclared = new Set<string>();
    const checked: Invariant = {
      name: 'footprints are declared',
      afterStep(world, actor, step) {
        const declared = footprint(actor, step, actor.id);
        // A set of epoll has queues of its own, which are part of it.
        const mayWrite = declared.writes | ((declared.writes & EPOLL) === 0 ? 0 : QUEUE);
        const mayRead = declared.reads | mayWrite;
        if ((writes & ~mayWrite) !== 0) undeclared.add(`${step.name} writes ${writes & ~mayWrite}`);
        if ((reads & ~mayRead) !== 0) undeclared.add(`${step.name} reads ${reads & ~mayRead}`);
        watch(world);
        return undefined;
      },
    };
    const restore = watchPrototypes();
    try {
      // The first invariant sees what the step did, before the others look around.
      const last: Invariant = { name: 'the others have looked', afterStep: forget, atRest: forget };
      const watched = {
        ...scenario,
        invariants: [last],
        start: (world: World): void => {
          scenario.start(world);
          watch(world);
          forget();
        },
      };
      explore(watched, { kernel, strategy: new RandomWalk(1), runs: 300, shrink: false, before: [checked] });
    } finally {
      restore();
    }
    expect([...undeclared]).toEqual([]);
  });
});

function forget(): undefined {
  reads = 0;
  writes = 0;
}

/** Has accesses to a world's files and lines noted. */
function watch({ lines }: World): void {
  for (const { desc, file } of lines) {
    note(desc, 'depth', MASK);
    if (file === undefined) continue;
    note(file, 'count', COUNT);
    if ('masked' in file) note(file, 'masked', COUNT);
  }
}

function note(object: object, name: string, bit: number): void {
  const own = Object.getOwnPropertyDescriptor(object, name);
  if (own === undefined || own.get !== undefined) return;
  let { value } = own;
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: true,
    get() {
      reads |= bit;
      return value;
    },
    set(next) {
      writes |= bit;
      value = next;
    },
  });
}

/** Has wake-ups and locks noted, of whatever object. */
function watchPrototypes(): () => void {
  const { wakeUp, add, remove } = WaitQueueHead.prototype;
  const { tryAcquire } = SpinLock.prototype;
  WaitQueueHead.prototype.wakeUp = function (key) {
    writes |= QUEUE;
    wakeUp.call(this, key);
  };
  // Joining and leaving commute: they count as reads.
  WaitQueueHead.prototype.add = function (entry) {
    reads |= QUEUE;
    add.call(this, entry);
  };
  WaitQueueHead.prototype.remove = function (entry) {
    reads |= QUEUE;
    remove.call(this, entry);
  };
  SpinLock.prototype.tryAcquire = function (cpu) {
    writes |= COUNT;
    return tryAcquire.call(this, cpu);
  };
  return () => {
    Object.assign(WaitQueueHead.prototype, { wakeUp, add, remove });
    Object.assign(SpinLock.prototype, { tryAcquire });
  };
}
