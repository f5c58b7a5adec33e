import { EBUSY, O_RDONLY } from '@usrdrv/core';
import { IRQ_HANDLED, IRQ_NONE, IRQF_SHARED, type IrqAction, type IrqReturn } from '../kernel/irq-desc.ts';
import type { IrqLine } from '../machine/irq-line.ts';
import { type Program, until } from './actor.ts';
import type { ExploredThread } from './explored-thread.ts';
import { ACK, RAISE } from './litmus.ts';
import type { ThreadScenario } from './thread-scenario.ts';
import type { WatchedLine } from './watched-line.ts';

/** PCI's lines of the I/O APIC. */
const LINE = 16;
const OTHER_LINE = 17;
const FILE = `/proc/irq/${LINE}/irq`;

/** Two drivers, each with a device and a line of its own: what one does is nothing to the other. */
export const twoDrivers: ThreadScenario = {
  name: 'two-drivers',
  about: 'two drivers on one machine, each with a level line of its own',
  machine: { processors: 1 },
  mostPreemptions: 1,
  start(world) {
    for (const irq of [LINE, OTHER_LINE]) {
      const line = world.line(irq);
      const fd = world.open(irq);
      world.thread(`driver of ${irq}`, (t) => readOnce(t, fd, line));
      world.device(`device of ${irq}`, () => raiseOnce(line));
    }
  },
};

/**
 * A line that a disk's driver in the kernel has, and whose device a driver in user space waits for as well. The user's program
 * is paged in from that disk: after its first interrupt it needs a page, and the disk says on the same line that it is there.
 *
 * The file does not share (P6), so the program is refused the line, and the disk goes on undisturbed. With `asIfShared` the
 * file has the line as if it did: the line stays masked until the program has read, the disk is not heard, and the program
 * waits for it for ever.
 */
export function lineOfADisk(o: { readonly asIfShared: boolean }): ThreadScenario {
  return {
    name: o.asIfShared ? 'line-of-a-disk-shared' : 'line-of-a-disk',
    about: 'a driver wants the line of the disk that it is paged in from',
    machine: { processors: 1 },
    without: { invariant: 'everything is freed', because: 'the disk keeps its line' },
    start(world) {
      const line = world.line(LINE);
      const disk = new Disk(world.machine.line(LINE));
      const fd = o.asIfShared ? world.open(LINE) : -1;
      if (o.asIfShared) line.desc.actions.push(disk.action);
      else world.machine.irqs.request(LINE, disk.action);
      world.thread('driver', (t) => (o.asIfShared ? pagedIn(t, fd, line, disk) : refused(t, disk)));
      // A device whose driver was refused is never started.
      if (o.asIfShared) world.device('device', () => raiseOnce(line));
      world.device('disk', () => disk.program());
    },
  };
}

/** A disk, and its driver in the kernel: one page at a time. */
class Disk {
  wanted = false;
  arrived = false;
  readonly action: IrqAction;

  constructor(private readonly wire: IrqLine) {
    this.action = { handler: () => this.#interrupt(), flags: IRQF_SHARED, name: 'disk', devId: this };
  }

  *program(): Program {
    yield until('a page is asked for', () => this.wanted);
    this.wire.raise(this);
  }

  #interrupt(): IrqReturn {
    if (!this.wanted || this.arrived) return IRQ_NONE;
    this.wire.lower(this);
    this.arrived = true;
    return IRQ_HANDLED;
  }
}

function* readOnce(t: ExploredThread, fd: number, line: WatchedLine): Program {
  yield t.read(fd);
  yield ACK;
  line.lower();
}

function* raiseOnce(line: WatchedLine): Program {
  yield RAISE;
  line.raise();
}

/** The program's code beyond its read is still on the disk. */
function* pagedIn(t: ExploredThread, fd: number, line: WatchedLine, disk: Disk): Program {
  yield t.read(fd);
  disk.wanted = true;
  yield until('the page that the disk brings', () => disk.arrived);
  line.lower();
  yield t.read(fd);
}

/** P6: somebody has the line. The program hears so, and its pages come as before. */
function* refused(t: ExploredThread, disk: Disk): Program {
  const result = yield t.open(FILE, O_RDONLY);
  if (result !== -EBUSY) throw new Error(`open returned ${result}, although the disk's driver has the line`);
  disk.wanted = true;
  yield until('the page that the disk brings', () => disk.arrived);
}
