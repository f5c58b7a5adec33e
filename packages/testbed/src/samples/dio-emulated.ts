import {
  DMA_TO_DEVICE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { EDU_DIO, EDU_DIO_TRANSFER, EduDevice, Machine } from '@usrdrv/emu';
import {
  ARGUMENT,
  CONSTANT,
  type DioCall,
  KERNEL,
  MEMORY,
  MEMORY_SIZE,
  NOT_FILLED_IN,
  RIVAL_MS,
  RIVAL_SIZE,
  SIGNAL_MS,
  TIMEOUT_MS,
} from './dio-calls.ts';

const EDU = '0000:00:04.0';
const NOWHERE = virtualAddress(8n);
/** Where the rival's argument is: behind that of the call. */
const RIVAL_ARGUMENT = virtualAddress(ARGUMENT + 1024n);
const RIVAL = { size: RIVAL_SIZE, direction: DMA_TO_DEVICE };
/** The bytes of a chunk that begins where the buffer does. */
const CHUNK = 4095;

/** Makes the calls on an emulated machine: what guest/samples/dio_calls.c prints, a line for each. */
export async function emulatedDioCalls(calls: readonly DioCall[]): Promise<string[]> {
  const machine = new Machine({ devices: [new EduDevice()] });
  machine.kernel.bindDriver('edu_dio', EDU);
  const process = new DioProcess(machine);
  const lines: string[] = [];
  // dio_calls.c counts its arguments.
  for (const [at, call] of calls.entries()) lines.push(await process.call(call, at + 2));
  machine.kernel[Symbol.dispose]();
  return lines;
}

/** A process with the memory that {@link DioCall} speaks of. */
class DioProcess {
  readonly #kernel;
  readonly #thread;
  readonly #fd: number;

  constructor({ kernel }: Machine) {
    this.#kernel = kernel;
    this.#thread = kernel.process.thread;
    this.#map(MEMORY, MEMORY_SIZE, PROT_READ | PROT_WRITE);
    this.#map(CONSTANT, PAGE_SIZE, PROT_READ);
    this.#map(ARGUMENT, PAGE_SIZE, PROT_READ | PROT_WRITE);
    this.#map(ARGUMENT + BigInt(PAGE_SIZE), PAGE_SIZE, PROT_READ);
    this.#fd = this.#thread.open(`/dev/edu_dio-${EDU}`, O_RDWR);
  }

  async call(call: DioCall, nth: number): Promise<string> {
    const memory = this.#bytes(MEMORY, MEMORY_SIZE);
    for (const at of memory.keys()) memory[at] = at * 7 + (at >> 8) + nth;
    const argp = this.#argument(call);
    const rival = call.meanwhile?.startsWith('rival') ? this.#rival() : undefined;
    if (rival !== undefined) await this.#kernel.clock.sleep(RIVAL_MS);
    const abort = new AbortController();
    const request = call.request === 'other' ? 0 : EDU_DIO_TRANSFER;
    const pending = this.#thread.ioctl(this.#fd, request, argp, { signal: abort.signal });
    if (call.meanwhile === 'signal') await this.#untilChanged(memory, (call.offset ?? 0) + CHUNK - 1);
    if (call.meanwhile === 'rival, signal') await this.#kernel.clock.sleep(SIGNAL_MS);
    if (call.meanwhile?.endsWith('signal')) abort.abort();
    const result = [await pending, call.argument === undefined ? this.#transferred(argp) : NOT_FILLED_IN];
    const rivals = rival === undefined ? [] : ['rival', await rival, this.#transferred(RIVAL_ARGUMENT)];
    return [...result, ...rivals, hash(memory)].join(' ');
  }

  /** Puts the argument in its place. */
  #argument(call: DioCall): VirtualAddress {
    const base = call.memory === undefined ? MEMORY : call.memory === 'kernel' ? KERNEL : CONSTANT;
    const bytes = argumentOf({ ...call, addr: base + BigInt(call.offset ?? 0) });
    if (call.argument === 'nowhere') return NOWHERE;
    if (call.argument === 'kernel') return virtualAddress(KERNEL);
    const whole = call.argument === undefined;
    const length = whole ? EDU_DIO.length : EDU_DIO.transferred;
    const place = virtualAddress(whole ? ARGUMENT : ARGUMENT + BigInt(PAGE_SIZE - length));
    this.#bytes(place, length).set(bytes.subarray(0, length));
    return place;
  }

  async #rival(): Promise<number> {
    const { size, direction } = RIVAL;
    this.#bytes(RIVAL_ARGUMENT, EDU_DIO.length).set(argumentOf({ size, direction, addr: MEMORY }));
    return this.#thread.ioctl(this.#fd, EDU_DIO_TRANSFER, RIVAL_ARGUMENT);
  }

  async #untilChanged(bytes: Uint8Array, at: number): Promise<void> {
    const before = bytes[at];
    while (bytes[at] === before) await this.#kernel.clock.sleep(1);
  }

  #transferred(argp: VirtualAddress): bigint {
    const bytes = this.#bytes(argp, EDU_DIO.length);
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(EDU_DIO.transferred, true);
  }

  #map(at: bigint, size: number, prot: number): void {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const result = this.#thread.mmap(virtualAddress(at), size, prot, flags, -1, 0n);
    if (result !== at) throw new Error(`mmap: ${result}`);
  }

  #bytes(at: bigint, length: number): Uint8Array {
    return this.#kernel.process.bytes(virtualAddress(at), length);
  }
}

/** A struct edu_dio_transfer. */
function argumentOf(o: Pick<DioCall, 'size' | 'position' | 'direction' | 'timeoutMs'> & { readonly addr: bigint }) {
  const view = new DataView(new ArrayBuffer(EDU_DIO.length));
  view.setBigUint64(EDU_DIO.addr, o.addr, true);
  view.setBigUint64(EDU_DIO.size, BigInt(o.size), true);
  view.setBigUint64(EDU_DIO.position, BigInt(o.position ?? 0), true);
  view.setUint32(EDU_DIO.direction, o.direction, true);
  view.setUint32(EDU_DIO.timeoutMs, o.timeoutMs ?? TIMEOUT_MS, true);
  view.setBigUint64(EDU_DIO.transferred, NOT_FILLED_IN, true);
  return new Uint8Array(view.buffer);
}

/** FNV-1a, 32 bits. */
function hash(bytes: Uint8Array): string {
  let fnv = 2_166_136_261;
  for (const byte of bytes) fnv = Math.imul(fnv ^ byte, 16_777_619);
  return (fnv >>> 0).toString(16).padStart(8, '0');
}
