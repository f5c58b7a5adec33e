import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: { readonly device?: string };
}

/** The machine's back door: QEMU's monitor, spoken to in QMP. */
export class Qmp {
  /** Called with the id of each device that is gone. */
  onDeleted: ((id: string) => void) | undefined;
  readonly #answers: { resolve(): void; reject(error: Error): void }[] = [];
  readonly #gone = new Map<string, () => void>();

  constructor(private readonly socket: Socket) {
    createInterface({ input: socket }).on('line', (line) => this.#message(JSON.parse(line)));
    socket.on('error', () => undefined);
    void this.#execute('qmp_capabilities', {});
  }

  /** Puts a device into a slot: `{ driver: 'edu', id: 'edu0', bus: 'slot0' }`. */
  async plug(device: Readonly<Record<string, string>>): Promise<void> {
    await this.#execute('device_add', device);
  }

  /** Asks the guest to let a device go, and waits until it has. */
  async unplug(id: string): Promise<void> {
    const gone = new Promise<void>((resolve) => this.#gone.set(id, resolve));
    await this.#execute('device_del', { id });
    await gone;
  }

  close(): void {
    this.socket.destroy();
  }

  #execute(execute: string, args: Readonly<Record<string, string>>): Promise<void> {
    this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  }

  #message(message: Message): void {
    const { error } = message;
    if (error !== undefined) this.#answers.shift()?.reject(new Error(`QMP: ${error.class}: ${error.desc}`));
    else if ('return' in message) this.#answers.shift()?.resolve();
    if (message.event === 'DEVICE_DELETED' && message.data?.device !== undefined) this.#deleted(message.data.device);
  }

  #deleted(id: string): void {
    this.#gone.get(id)?.();
    this.#gone.delete(id);
    this.onDeleted?.(id);
  }
}
