import type { Host } from './backends.ts';

/**
 * `usrdrv irq N`: prints what each read of the line's count returns, and what /proc/interrupts says in the end. On emu
 * nothing raises a line by itself, so it is pulsed as virtual time passes.
 */
export async function watchIrq(host: Host, line: number, o: { count: number; every: number }): Promise<void> {
  const { backend, files } = host;
  using irq = backend.openIrq(line);
  const start = backend.clock.now();
  const pulsed = host.pulse?.(line, o.every);
  process.stdout.write(`${pulsed ?? `irq ${line} ${host.description}`}\n`);
  let total = 0;
  for (let reads = 0; reads < o.count; reads++) {
    const count = await irq.read();
    total += count;
    const seconds = Number(backend.clock.now() - start) / 1e9;
    process.stdout.write(`${seconds.toFixed(3).padStart(10)} s  irq ${line}  +${count}  total ${total}\n`);
  }
  const row = new TextDecoder()
    .decode(files.readFileSync('/proc/interrupts'))
    .split('\n')
    .find((text) => text.trimStart().startsWith(`${line}:`));
  if (row !== undefined) process.stdout.write(`/proc/interrupts: ${row.trim()}\n`);
}
