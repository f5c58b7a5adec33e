import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bindDriver, SystemError } from '@usrdrv/core';
import { BLOCK_SIZE, type Edu, echo, eduDriver } from '@usrdrv/drivers/edu';
import type { Host, Trace } from './backends.ts';
import { progress, type Style, styleOf } from './terminal.ts';
import { timeline } from './timeline.ts';

/** 13! does not fit edu's register. */
const FACTORIALS = 12;
/** Bytes read from the file at once. */
const CHUNK = 1024 * 1024;

/**
 * `usrdrv demo edu`: sends a file through the device and prints what became of it. Where the backend has no DMA, and no file
 * is named, the device computes factorials, which takes interrupts too.
 * @returns the exit code: 1 where something else came back
 */
export async function demoEdu(host: Host, o: { input?: string; msi?: boolean }): Promise<number> {
  const { dma, reasons } = host.backend.supports;
  const noDma = dma ? undefined : (reasons?.dma ?? `${host.backend.name} has no DMA`);
  if (noDma !== undefined && o.input !== undefined) throw new SystemError('ENOSYS', 'demo edu', { detail: noDma });
  const input = o.input ?? license();
  const size = sizeOf(input);
  using bindings = await bindDriver(host.backend, eduDriver({ msi: o.msi ?? false }));
  const [binding] = bindings.bound;
  if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('there is no edu device');

  const style = styleOf(process.stdout);
  const where = `edu at ${binding.function.address}, interrupts by ${o.msi ? 'MSI' : 'INTx'}, ${host.description}`;
  if (noDma !== undefined) {
    process.stdout.write(`${where}\nno file goes through it: ${noDma}\n\n`);
    return await factorials(binding.instance, style);
  }
  const result = await roundTrip(host, binding.instance, input, size);
  process.stdout.write(`${input}\nthrough ${where}\n\n`);
  process.stdout.write(report(result, host, style));
  if (host.trace !== undefined) process.stdout.write(`\n${timeline(result.firstBlock, style)}`);
  return result.sent === result.received ? 0 : 1;
}

async function factorials(edu: Edu, style: Style): Promise<number> {
  let expected = 1;
  for (let n = 1; n <= FACTORIALS; n++) {
    expected *= n;
    const got = await edu.factorial(n);
    const verdict = got === expected ? '' : style.red(`  not ${number(expected)}`);
    process.stdout.write(`${`${n}!`.padStart(3)} = ${number(got)}${verdict}\n`);
    if (got !== expected) return 1;
  }
  process.stdout.write(`interrupts  ${number(edu.interrupts)} taken\n`);
  return 0;
}

interface RoundTrip {
  readonly bytes: number;
  /** SHA-256, in hexadecimal. */
  readonly sent: string;
  readonly received: string;
  readonly interrupts: number;
  /** Milliseconds on the backend's clock, which is virtual on emu, and on ours. */
  readonly backendMs: number;
  readonly realMs: number;
  readonly firstBlock: Trace['events'];
}

async function roundTrip(host: Host, edu: Edu, input: string, size: number): Promise<RoundTrip> {
  const { clock } = host.backend;
  const sent = createHash('sha256');
  const received = createHash('sha256');
  const bar = progress();
  const trace = host.trace ?? { on: false, events: [] };
  const [backendStart, realStart] = [clock.now(), performance.now()];
  let bytes = 0;
  trace.on = true;
  try {
    for await (const block of echo(edu, createReadStream(input, { highWaterMark: CHUNK }))) {
      trace.on = false;
      sent.update(block.sent);
      received.update(block.received);
      bytes += block.sent.length;
      bar.show(bytes / Math.max(bytes, size), () => `${mebibytes(bytes)} of ${mebibytes(size)} MiB`);
    }
  } finally {
    bar.end();
  }
  return {
    bytes,
    sent: hex(sent),
    received: hex(received),
    interrupts: edu.interrupts,
    backendMs: Number(clock.now() - backendStart) / 1e6,
    realMs: performance.now() - realStart,
    firstBlock: [...trace.events],
  };
}

function report(
  { bytes, sent, received, interrupts, backendMs, realMs }: RoundTrip,
  { trace }: Host,
  style: Style,
): string {
  const blocks = Math.ceil(bytes / BLOCK_SIZE);
  const verdict = sent === received ? style.green('the same') : style.red('not the same');
  return [
    `sent        ${sent}  SHA-256 of ${number(bytes)} bytes`,
    `came back   ${received}  ${verdict}`,
    `blocks      ${number(blocks)} of up to ${BLOCK_SIZE} bytes, each by DMA to the device and back`,
    `interrupts  ${number(interrupts)} taken`,
    `time        ${trace === undefined ? '' : `${duration(backendMs)} virtual, `}${duration(realMs)} real`,
    '',
  ].join('\n');
}

/** Bytes in the file; 0 for a pipe and the like. */
function sizeOf(path: string): number {
  const stat = statSync(path);
  if (stat.isDirectory()) throw new SystemError('EISDIR', 'open', { path });
  return stat.size;
}

/** The LICENSE beside the package, or in the repository's root. */
function license(): string {
  const places = ['../LICENSE', '../../../LICENSE'].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return places.find((place) => existsSync(place)) ?? 'LICENSE';
}

function hex(hash: Hash): string {
  return hash.digest('hex');
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
