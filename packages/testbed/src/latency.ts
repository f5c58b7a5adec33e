import type { Guest } from './guest.ts';

/**
 * QEMU's devices: one edu for each contestant, since a device has one driver at a time, in the order of guest/latency.c. Four
 * neighbours on the root bus have four lines; what is in slots 25 and 26 has others.
 */
export const LATENCY_DEVICES = [
  ...['edu', 'edu', 'edu', 'edu', 'edu', 'edu', 'edu', 'edu'],
  ...['edu,addr=0x19', 'i82801b11-bridge,id=bridge,addr=0x1a', 'edu,bus=bridge,addr=1', 'edu,bus=bridge,addr=2'],
] as const;

/** What each contestant is measured against, by the names of guest/latency.c: what TypeScript does against the C program. */
const REFERENCES: Readonly<Record<string, string>> = {
  'irq file': 'UIO',
  'VFIO INTx': 'UIO',
  'irq file MSI': 'VFIO MSI',
  readSync: 'irq file',
  'readSync UIO': 'UIO',
  'readSync VFIO': 'VFIO MSI',
  'await read': 'irq file',
  'await UIO': 'UIO',
  'await VFIO MSI': 'VFIO MSI',
  'pages in Node': 'VFIO pages',
  usr_pci_mmap: 'VFIO MAP_DMA',
};

interface Times {
  readonly p50: number;
  readonly p99: number;
}

/**
 * Interrupt to reader, in C and in TypeScript, a mapping of 1 MiB made and undone, and 1,000 of a page, against UIO and VFIO
 * in one boot, as a table: microseconds at p50 and p99, and their ratios to the reference's.
 */
export async function measureLatency(guest: Guest, rounds: number): Promise<string> {
  const answer = await guest.request('latency', String(rounds));
  const times = new Map(answer.split('\n').filter(Boolean).map(decode));
  const rows = [...times].map(([name, { p50, p99 }]) => {
    const row = `${name.padEnd(14)} p50 ${us(p50)} us  p99 ${us(p99)} us`;
    const reference = REFERENCES[name];
    const against = reference === undefined ? undefined : times.get(reference);
    if (against === undefined) return row;
    return `${row}  ${(p50 / against.p50).toFixed(2)} and ${(p99 / against.p99).toFixed(2)} times ${reference}`;
  });
  return rows.join('\n');
}

/** `name\t ns ns …` */
function decode(line: string): [string, Times] {
  const [name = '', text = ''] = line.split('\t');
  const sorted = text.trim().split(' ').map(Number);
  sorted.sort((a, b) => a - b);
  return [name, { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }];
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function us(nanoseconds: number): string {
  return (nanoseconds / 1000).toFixed(1).padStart(8);
}
