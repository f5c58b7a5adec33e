import type { TraceEvent } from '@usrdrv/emu';
import type { Style } from './terminal.ts';

/** What an event is called and means, for somebody who sees it for the first time; undefined for what is left out. */
function explain({ kind, detail }: TraceEvent): readonly [name: string, meaning: string] | undefined {
  switch (kind) {
    case 'mmio-write':
      return START.test(detail) ? ['start', 'the driver starts a transfer'] : undefined;
    case 'dma-read':
      return [kind, `the device fetches ${detail}`];
    case 'dma-write':
      return [kind, `the device stores ${detail}`];
    case 'raise':
      return [kind, 'the device raises its line'];
    case 'message':
      return [kind, 'the device sends its message'];
    case 'mask':
      return [kind, 'the interrupt controller holds the line back from now on'];
    case 'count':
      return [kind, `the kernel’s handler counts: ${detail}`];
    case 'wake':
      return [kind, 'the handler wakes the driver'];
    case 'read':
      return [kind, `the driver’s read returns ${detail}`];
    case 'acknowledge':
      return [kind, 'the driver acknowledges the device'];
    case 'lower':
      return [kind, 'the device lets its line go'];
    case 'unmask':
      return [kind, 'the driver waits again, which lets the line through'];
    default:
      return undefined;
  }
}

/** A write of edu's DMA command register. */
const START = /^bar 0 \+0x98 /;

/** A block's events, a line each; time is virtual, from the first line on. */
export function timeline(events: readonly TraceEvent[], style: Style): string {
  const lines: string[] = [];
  let start: number | undefined;
  for (const event of events) {
    const explained = explain(event);
    if (explained === undefined) continue;
    start ??= event.time;
    const [name, meaning] = explained;
    const ms = ((event.time - start) / 1e6).toFixed(3).padStart(9);
    lines.push(`${ms} ms  ${style.bold(name.padEnd(11))}  ${style.dim(event.who.padEnd(8))}  ${meaning}`);
  }
  if (lines.length === 0) return 'There was no block, and so no interrupt.\n';
  return `The first block, there and back:\n${lines.join('\n')}\n`;
}
