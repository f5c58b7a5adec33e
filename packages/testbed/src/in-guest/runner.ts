/**
 * The first program in a guest that has Node: runs the programs that the host asks for, and sends what they print. A message
 * is its length (32 bits, little-endian) and its text, as in guest/executor.c.
 *
 * - `run` and a command line as JSON: one answer when it has ended, an {@link Ended} as JSON
 * - `start`, the same: the first line that it prints; what it prints to standard error goes to the console
 * - `line`: its next line
 * - `finish`: an {@link Ended} with the rest
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** How a program ended. */
export interface Ended {
  /** Its exit code; null where a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
}

const port = openSync('/dev/vport0p1', 'r+');
let running: Running | undefined;

/** A program, and its lines that nobody has asked for yet. */
class Running {
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string) => void)[] = [];
  readonly #ended: Promise<number | null>;

  constructor([command = '', ...args]: readonly string[]) {
    const child: ChildProcess = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    if (child.stdout === null) throw new Error('a child without output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#lines.push(line);
      else waiting(line);
    });
    this.#ended = once(child, 'close').then(([status]: (number | null)[]) => {
      for (const waiting of this.#waiting.splice(0)) waiting('');
      return status ?? null;
    });
  }

  async line(): Promise<string> {
    const line = this.#lines.shift();
    return line ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  async end(): Promise<Ended> {
    const status = await this.#ended;
    return { status, stdout: this.#lines.splice(0).join('\n') };
  }
}

async function answer(kind: string, body: string): Promise<string> {
  if (kind === 'run' || kind === 'start') {
    running = new Running(JSON.parse(body));
    return kind === 'run' ? JSON.stringify(await running.end()) : running.line();
  }
  if (running === undefined) throw new Error('nothing runs');
  return kind === 'line' ? running.line() : JSON.stringify(await running.end());
}

function send(text: string): void {
  const bytes = Buffer.from(`0000${text}`);
  bytes.writeUInt32LE(bytes.length - 4);
  for (let at = 0; at < bytes.length; ) at += writeSync(port, bytes, at);
}

function receive(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) at += readSync(port, bytes, at, length - at, null);
  return bytes;
}

send(`Node ${process.version}`);
for (;;) {
  // Nothing of the program that runs is lost meanwhile: it is in its pipe.
  const request = receive(receive(4).readUInt32LE()).toString();
  const end = request.indexOf('\n');
  const kind = request.slice(0, end);
  if (kind === 'end') break;
  send(await answer(kind, request.slice(end + 1)));
}
