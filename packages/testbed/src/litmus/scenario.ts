import { EduDevice, type ExploredThread, type Program, type ThreadScenario, type World } from '@usrdrv/emu';
import { Caller, type LitmusDevice } from './caller.ts';
import { ASLEEP, type Litmus, type LitmusCall, showOutcome } from './litmus.ts';

/**
 * A litmus test for the explorer. What comes before the workers and after them runs calmly on the first processor, which
 * also takes every interrupt; each worker has a processor of its own. So a handler may run at any time, and be late for
 * any time.
 */
export function litmusScenario(test: Litmus): ThreadScenario {
  const benches = new WeakMap<World, Bench>();
  return {
    name: test.name.replaceAll(/\W+/g, '-'),
    about: test.name,
    machine: { processors: test.workers.length + 1 },
    choices: [],
    fresh: changesTheMachine(test),
    without: test.without,
    start(world) {
      const bench = benches.get(world) ?? new Bench(world);
      benches.set(world, bench);
      bench.run = new LitmusRun(test, bench);
    },
    atRest: (world) => benches.get(world)?.run?.finish(),
    outcome: (world) => benches.get(world)?.run?.outcome ?? '',
  };
}

/** Processes, the function and mappings stay behind; lines, files and what threads remember are as new in each run. */
function changesTheMachine({ setup, workers }: Litmus): boolean {
  const calls = [setup, ...workers.map((worker) => worker.calls)].flat();
  return workers.some(({ process }) => process) || calls.some(({ call }) => call.startsWith('usr_pci'));
}

/** A machine with an edu in it, which run after run takes place on. */
class Bench {
  readonly device: LitmusDevice;
  /** The run that takes place now. */
  run: LitmusRun | undefined = undefined;

  constructor(readonly world: World) {
    const edu = new EduDevice();
    const { line: wire, address } = world.machine.pci.plug(edu);
    if (wire === undefined) throw new Error('edu has no line');
    const line = world.line(wire.irq);
    const write = (register: number, bits: number): void => {
      const before = line.asserted;
      edu.write(register, bits, 4);
      line.held(before);
    };
    this.device = {
      irq: wire.irq,
      address,
      raise: (bits) => write(IRQ_RAISE, bits),
      acknowledge: (bits) => write(IRQ_ACK, bits),
    };
  }
}
const IRQ_RAISE = 0x60;
const IRQ_ACK = 0x64;
const EVERY_BIT = 0xffff_ffff;

/** One interleaving of a test. */
class LitmusRun {
  readonly #main: Worker;
  readonly #workers: Worker[] = [];

  constructor(
    private readonly test: Litmus,
    private readonly bench: Bench,
  ) {
    const { world, device } = bench;
    device.acknowledge(EVERY_BIT);
    const mappings = new Map<number, bigint>();
    this.#main = new Worker(new Caller(world.thread('main', noProgram), device, mappings));
    this.#main.caller.mapMemory();
    this.#straight(test.setup);
    for (const [nth, { calls, process }] of test.workers.entries()) {
      const program = (thread: ExploredThread): Program => {
        const worker = new Worker(new Caller(thread, device, mappings));
        this.#workers.push(worker);
        return worker.program(calls, this.#signal);
      };
      if (process === true) world.process(`process${nth}`, program);
      else world.thread(`thread${nth}`, program);
    }
  }

  /** Whoever sleeps is ended by a signal, processes end, and the main thread looks at what is left. */
  finish(): void {
    for (const worker of this.#workers) worker.giveUp();
    this.#straight([]);
    for (const [nth, { process }] of this.test.workers.entries()) {
      if (process === true) this.#workers[nth]?.caller.thread.thread.exitGroup(0);
    }
    this.#main.log.length = 0;
    this.#straight(this.test.after);
  }

  get outcome(): string {
    return showOutcome(
      this.#workers.map(({ log }) => log),
      this.#main.log,
    );
  }

  readonly #signal = (worker: number): void => this.#workers[worker]?.caller.thread.signal();

  #straight(calls: readonly LitmusCall[]): void {
    this.bench.world.straight(this.#main.caller.thread, () => this.#main.program(calls, this.#signal));
  }
}

/** Makes calls one after the other, and logs their results. */
class Worker {
  readonly log: string[] = [];
  #gaveUp = false;

  constructor(readonly caller: Caller) {}

  *program(calls: readonly LitmusCall[], signal: (worker: number) => void): Program {
    const { caller, log } = this;
    for (const call of calls) {
      const act = call.call === 'signal' ? caller.outside(() => signal(call.worker)) : caller.act(call);
      const result = yield act.begin();
      log.push(this.#gaveUp ? ASLEEP : act.log(result));
      if (this.#gaveUp) return;
    }
  }

  /** It sleeps, and nobody is left to wake it. */
  giveUp(): void {
    const { thread } = this.caller;
    if (thread.actor.done) return;
    this.#gaveUp = true;
    thread.signal();
  }
}

function* noProgram(): Program {}
