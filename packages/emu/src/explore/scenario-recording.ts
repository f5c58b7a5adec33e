import { IRQ_DISABLED, type IrqDesc } from '../kernel/irq-desc.ts';
import { ChubbIrqFile } from '../kernel/irq-file-chubb.ts';
import { UsrdrvIrqFile } from '../kernel/irq-file-usrdrv.ts';
import type { Machine } from '../machine/machine.ts';
import { violationOf } from './explore-scenario.ts';
import type { Violation } from './invariants.ts';
import type { LineState, Moment, Recording } from './recording.ts';
import { replay, type Scenario, ScenarioFailure } from './scenario.ts';
import { TapeOracle } from './tape-oracle.ts';
import { parseToken } from './token.ts';

/** A line of a machine that nobody has asked for. */
const UNUSED: LineState = { asserted: false, masked: true, disabled: true, depth: 1, count: undefined };

/**
 * Has a run of whole drivers again, and writes it down: an entry for each event of its machines' logs, and for each choice
 * that was not calm, with how the lines that were ever claimed were after it. Where there are several machines, the lines
 * are those of the first.
 * @throws TypeError what is no token
 * @throws RangeError a token of another scenario, or of a run that does not happen any more
 */
export async function recordScenario(token: string, scenario: Scenario): Promise<Recording> {
  const moments: Moment[] = [];
  const irqs: number[] = [];
  const machines: Machine[] = [];
  const note = (machine: Machine, actor: string, step: string) => {
    const [first] = machines;
    if (first !== undefined)
      for (const { irq, actions } of first.irqs.descs()) if (actions.length > 0 && !irqs.includes(irq)) irqs.push(irq);
    const lines = first === undefined ? [] : irqs.map((irq) => lineState(first, irq));
    moments.push({ actor, step, preempted: false, time: machine.clock.now, lines, threads: [] });
  };
  const oracle = new TapeOracle(parseToken(token).tape);
  oracle.onTaken = (taken) => {
    const machine = machines.at(-1);
    if (machine !== undefined) note(machine, 'choice', oracle.describeOne(taken));
  };
  const onPowerOn = (machine: Machine) => {
    machines.push(machine);
    const prefix = machines.length === 1 ? '' : `machine ${machines.length}: `;
    machine.trace.onEvent = ({ kind, irq, who, detail }) => {
      const line = irq === undefined ? '' : ` irq ${irq}`;
      note(machine, `${prefix}${who}`, `${kind}${line}${detail === '' ? '' : ` ${detail}`}`);
    };
  };
  let violation: Violation | undefined;
  try {
    await replay(token, scenario, { oracle, trace: true, onPowerOn });
  } catch (error) {
    if (!(error instanceof ScenarioFailure)) throw error;
    violation = violationOf(error);
  }
  return {
    token,
    violation,
    actors: [...new Set(moments.map(({ actor }) => actor))].sort(),
    threads: [],
    irqs,
    // Before a line was claimed for the first time, nobody had it.
    moments: moments.map((moment) => ({ ...moment, lines: irqs.map((_, nth) => moment.lines[nth] ?? UNUSED) })),
  };
}

function lineState(machine: Machine, irq: number): LineState {
  const desc = machine.irqs.desc(irq);
  if (desc === undefined) return UNUSED;
  const { depth, chip, status } = desc;
  return {
    // A message has no line.
    asserted: machine.chip.has(irq) && machine.line(irq).asserted,
    masked: chip.isMasked(irq),
    disabled: (status & IRQ_DISABLED) !== 0,
    depth,
    count: countOf(desc),
  };
}

function countOf({ actions }: IrqDesc): number | undefined {
  const file = actions[0]?.devId;
  return file instanceof UsrdrvIrqFile || file instanceof ChubbIrqFile ? file.count : undefined;
}
