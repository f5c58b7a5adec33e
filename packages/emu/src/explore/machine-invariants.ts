import type { Machine } from '../machine/machine.ts';

/** Something that must never be otherwise of a machine that drivers run on. What it returns is what is wrong, in words. */
export interface MachineInvariant {
  readonly name: string;
  /** While the scenario runs, between any two turns of the event loop. */
  always?(machine: Machine): string | undefined;
  /** When the scenario is over, and its machines have been switched off. */
  atEnd?(machine: Machine): string | undefined;
}

/** I4, I6, and what the PCI calls complain of. */
const noWarning: MachineInvariant = {
  name: 'no kernel warning',
  always: ({ irqs, kernel }) => irqs.warnings[0] ?? kernel.usrPci.warnings[0],
};

/** A device that is told a wrong address, or goes on after its memory was taken back (M6). */
const mastersStayInside: MachineInvariant = {
  name: 'a bus master touches only what is mapped to it',
  always({ dmaDebug }) {
    for (const report of dmaDebug.reports) {
      const { what } = report;
      if (what === 'outside every mapping' || what === 'device write' || what === 'device read') return `${report}`;
    }
    return undefined;
  },
};

const noDmaMisuse: MachineInvariant = {
  name: 'no DMA misuse',
  always({ dmaDebug }) {
    const [report] = dmaDebug.reports;
    return report === undefined ? undefined : `${report}`;
  },
};

const nobodyWaits: MachineInvariant = {
  name: 'nobody waits for ever',
  atEnd: ({ idle }) => (idle.waiters === 0 ? undefined : `${idle.waiters} still wait, on a machine that is off`),
};

/** U2: what processes held is given back when they are over. */
const everythingIsFreed: MachineInvariant = {
  name: 'everything is freed',
  atEnd(machine) {
    const held = heldBy(machine);
    return held.length === 0 ? undefined : held.join(', ');
  },
};

/** What holds for every kernel and every driver. */
export const MACHINE_INVARIANTS: readonly MachineInvariant[] = [
  mastersStayInside,
  noDmaMisuse,
  noWarning,
  nobodyWaits,
  everythingIsFreed,
];

/**
 * What programs hold of a machine, in words, each in an entry: open files, lines that are claimed, pages that are pinned or
 * allocated, functions that are bus masters. None of it is left when they are over (U2).
 */
export function heldBy({ memory, irqs, pci, kernel }: Machine): string[] {
  return [
    ...(kernel.fileTable.count > 0 ? [count(kernel.fileTable.count, 'open file')] : []),
    ...[...irqs.descs()].flatMap(({ irq, actions }) => actions.map(({ name }) => `irq ${irq}, claimed by ${name}`)),
    ...(memory.pinned > 0 ? [`${count(memory.pinned, 'page')} pinned for DMA`] : []),
    ...(memory.usedFrames > 0 ? [`${count(memory.usedFrames, 'page frame')} allocated`] : []),
    ...pci
      .functions()
      .filter(({ isBusMaster }) => isBusMaster)
      .map(({ address, model }) => `bus mastering of ${address} (${model.name})`),
  ];
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
