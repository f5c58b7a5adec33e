import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { splats } from './kernel.ts';
import { Qmp } from './qmp.ts';

export interface BootOptions {
  readonly kernel: string;
  readonly initramfs: string;
  /** Where the console's log goes. */
  readonly console: string;
  /** MiB. Left out: 512. */
  readonly memory?: number;
  /** Added to the kernel's command line. */
  readonly append?: string;
  /** How long one answer may take. Left out: 120 s. */
  readonly answerMs?: number;
  /** QEMU's devices. Left out: two edu devices on the root bus. */
  readonly devices?: readonly string[];
}

/** A kernel with KASAN, on a machine that does other things too. */
const BOOT_MS = 600_000;
/** kmemleak looks through all memory twice. */
const END_MS = 300_000;
const TAIL_LINES = 40;

/** The guest died, hangs, or its kernel complained; the message ends with what its console said last. */
export class GuestFailure extends Error {
  override readonly name = 'GuestFailure';
}

/**
 * A machine in QEMU (TCG, q35, two processors, intel-iommu, two edu devices) whose init runs a program that talks through a
 * virtio port: a request is answered by one message; each is its length in 32 bits and its text.
 */
export class Guest {
  /** What the program in the guest said first. */
  hello = '';
  readonly #waiting: { resolve(text: string): void; reject(error: Error): void }[] = [];
  #received: Buffer[] = [];
  #length = 0;
  #exited = false;

  private constructor(
    private readonly options: BootOptions,
    private readonly qemu: ChildProcess,
    private readonly socket: Socket,
    /** The machine's monitor: plugs and unplugs devices. */
    readonly qmp: Qmp,
  ) {
    socket.on('data', (bytes) => this.#data(bytes));
    socket.on('error', (error) => this.#fail(`the channel broke: ${error.message}`));
    socket.on('close', () => this.#fail('the guest hung up'));
  }

  static async boot(options: BootOptions): Promise<Guest> {
    const folder = mkdtempSync(join(tmpdir(), 'usrdrv-'));
    const [channel, monitor] = [join(folder, 'channel'), join(folder, 'monitor')];
    const log = openSync(options.console, 'w');
    try {
      const qemu = spawn('qemu-system-x86_64', qemuArguments(options, channel, monitor), {
        stdio: ['ignore', log, 'inherit'],
      });
      const guest = new Guest(options, qemu, await connect(channel), new Qmp(await connect(monitor)));
      qemu.on('exit', () => {
        guest.#exited = true;
      });
      process.once('exit', () => qemu.kill('SIGKILL'));
      guest.hello = await guest.#answer(BOOT_MS);
      return guest;
    } finally {
      closeSync(log);
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Sends a request; requests that are sent before the answer to an earlier one queue up. */
  request(kind: string, body: string): Promise<string> {
    const text = Buffer.from(`${kind}\n${body}`);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(text.length);
    this.socket.write(Buffer.concat([head, text]));
    return this.#answer(this.options.answerMs ?? 120_000);
  }

  /**
   * Ends the guest in good order.
   * @throws GuestFailure where it does not end, or its kernel complained about anything while it ran
   */
  async end(): Promise<void> {
    if (!this.#exited) this.request('end', '').catch(() => undefined);
    for (let waited = 0; !this.#exited && waited < END_MS; waited += 50) await sleep(50);
    const ended = this.#exited;
    this.kill();
    if (!ended || !this.#log().includes('guest: end')) throw this.#failure('the guest did not come to its end');
    const complaints = splats(this.options.console);
    if (complaints !== '') throw new GuestFailure(`the guest's kernel complained:\n${complaints}`);
  }

  kill(): void {
    this.qemu.kill('SIGKILL');
    this.socket.destroy();
    this.qmp.close();
  }

  async #answer(limitMs: number): Promise<string> {
    const late = setTimeout(() => this.#fail(`no answer within ${limitMs / 1000} s`), limitMs);
    try {
      return await new Promise<string>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    } finally {
      clearTimeout(late);
    }
  }

  #data(bytes: Buffer): void {
    this.#received.push(bytes);
    this.#length += bytes.length;
    while (this.#length >= 4) {
      if ((this.#received[0]?.length ?? 0) < 4) this.#received = [Buffer.concat(this.#received)];
      const size = 4 + (this.#received[0]?.readUInt32LE(0) ?? 0);
      if (this.#length < size) return;
      const all = Buffer.concat(this.#received);
      this.#received = [all.subarray(size)];
      this.#length = all.length - size;
      this.#waiting.shift()?.resolve(all.toString('utf8', 4, size));
    }
  }

  #fail(what: string): void {
    if (this.#waiting.length === 0) return;
    const failure = this.#failure(what);
    for (const { reject } of this.#waiting.splice(0)) reject(failure);
    this.kill();
  }

  #failure(what: string): GuestFailure {
    const complaints = splats(this.options.console);
    const tail = this.#log().trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
    return new GuestFailure(`${what}; ${complaints === '' ? `the last of its console:\n${tail}` : complaints}`);
  }

  #log(): string {
    return readFileSync(this.options.console, 'utf8').replaceAll('\r', '');
  }
}

const EDUS = ['edu', 'edu'];

function qemuArguments(options: BootOptions, channel: string, monitor: string): string[] {
  const { kernel, initramfs, memory = 512, append = '', devices = EDUS } = options;
  return [
    ...['-M', 'q35,accel=tcg,kernel-irqchip=off', '-smp', '2', '-m', String(memory), '-nodefaults', '-no-reboot'],
    ...['-display', 'none', '-serial', 'stdio', '-device', 'intel-iommu,intremap=on'],
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=channel,path=${channel},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=channel,name=usrdrv', '-qmp', `unix:${monitor},server=on,wait=off`],
    ...devices.flatMap((device) => ['-device', device]),
    ...['-kernel', kernel, '-initrd', initramfs],
    ...['-append', `console=ttyS0 panic=-1 no_timer_check tsc=reliable ${append}`],
  ];
}

async function connect(channel: string): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    const socket = createConnection(channel);
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (error === undefined) return socket;
    if (tries === 100) throw new GuestFailure(`QEMU does not start: ${error.message}`);
    await sleep(50);
  }
}
