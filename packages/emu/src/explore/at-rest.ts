import { IRQ_DISABLED } from '../kernel/irq-desc.ts';
import { CPU_RELAX } from '../kernel/step.ts';
import type { World } from './world.ts';

/** How many threads have not come to their end. */
export function unfinished({ threads }: World): number {
  let count = 0;
  for (let at = 0; at < threads.length; at++) if (threads[at]?.actor.done === false) count++;
  return count;
}

/** Everyone who waits, for what, and what it is called when it never comes. */
export function stuck({ threads, lines }: World): string {
  // Not joined from a list: many runs may end so, and only few of them are shown.
  let waits = '';
  let kind = 'starvation';
  for (const { actor } of threads) {
    if (actor.waitsFor === undefined) continue;
    waits += `${separator(waits)}${actor.name} ${actor.waitsFor}`;
    if (actor.at === CPU_RELAX) kind = 'deadlock';
  }
  for (const { irq, desc, file } of lines) {
    if (file === undefined) continue;
    const masked = (desc.status & IRQ_DISABLED) !== 0;
    if (file.count > 0 && kind !== 'deadlock') kind = 'lost wake-up';
    const mask = masked ? `masked, at depth ${desc.depth}` : 'let through';
    waits += `${separator(waits)}irq ${irq} is ${mask}, its count ${file.count}`;
  }
  return `${kind}: ${waits}`;
}

function separator(text: string): string {
  return text.length === 0 ? '' : '; ';
}
