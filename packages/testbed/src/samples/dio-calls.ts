import { DMA_FROM_DEVICE, DMA_TO_DEVICE, PAGE_SIZE } from '@usrdrv/core';

/** What a call of edu_dio is given, and what happens while it waits. */
export interface DioCall {
  /** What is to be seen. */
  readonly what: string;
  /** Another request than edu_dio's. */
  readonly request?: 'other';
  /** Where the argument is. The last: where all of it can be read, and all but what is filled in can be written. */
  readonly argument?: 'nowhere' | 'kernel' | 'half read-only';
  /** Where bytes are moved from or to. Left out: memory that can be written. */
  readonly memory?: 'read-only' | 'kernel';
  /** In that memory; beyond its {@link MEMORY_SIZE} nothing is mapped. */
  readonly offset?: number;
  readonly size: number;
  readonly position?: number;
  readonly direction: number;
  /** Left out: 2 s. */
  readonly timeoutMs?: number;
  readonly meanwhile?: Meanwhile;
}

/**
 * A signal when the last byte of the first chunk has arrived; another thread that was first, with a transfer of
 * {@link RIVAL_SIZE} bytes to the device; and the same with a signal.
 */
const MEANWHILE = ['signal', 'rival', 'rival, signal'] as const;
type Meanwhile = (typeof MEANWHILE)[number];

export const MEMORY = 0x30_0000_0000n;
export const MEMORY_SIZE = 6 * PAGE_SIZE;
/** A page that can only be read. */
export const CONSTANT = 0x30_0010_0000n;
/** Where the argument is: a page that can be written, and one behind it that cannot. */
export const ARGUMENT = 0x30_0020_0000n;
export const KERNEL = 0xffff_8880_0000_0000n;
/** What `transferred` is before a call. */
export const NOT_FILLED_IN = 77n;
export const RIVAL_SIZE = 12_000;
/** How long the rival is ahead, and how long its follower is left in peace. */
export const RIVAL_MS = 50;
export const SIGNAL_MS = 50;
export const TIMEOUT_MS = 2000;

const [to, from] = [DMA_TO_DEVICE, DMA_FROM_DEVICE];

/** Good and bad ones. Each finds the device as the one before it has left it. */
export const DIO_CALLS: readonly DioCall[] = [
  { what: 'all of the buffer is filled', size: 4095, direction: to },
  { what: 'all of it comes back, to an odd address', offset: 4097, size: 4095, direction: from },
  { what: 'one byte', offset: 8191, size: 1, position: 4094, direction: to },
  { what: 'one byte back', offset: 4095, size: 1, position: 4094, direction: from },
  { what: 'misaligned, over a page’s end', offset: 4090, size: 1030, position: 3, direction: to },
  { what: 'and back, elsewhere', offset: 1, size: 1030, position: 3, direction: from },
  { what: 'more than the buffer, in chunks', offset: 5, size: 9000, position: 4000, direction: to },
  { what: 'the buffer three times over', offset: 123, size: 10_000, position: 123_456_789, direction: from },
  { what: 'nothing', size: 0, direction: to },
  { what: 'nothing, from where nothing is', offset: MEMORY_SIZE, size: 0, direction: from },
  { what: 'another request', request: 'other', size: 1, direction: to },
  { what: 'an argument that is nowhere', argument: 'nowhere', size: 1, direction: to },
  { what: 'an argument of the kernel’s', argument: 'kernel', size: 1, direction: to },
  { what: 'no direction', size: 1, direction: 0 },
  { what: 'a direction that is none', size: 1, direction: 3 },
  { what: 'no time', size: 1, direction: to, timeoutMs: 0 },
  { what: 'memory of the kernel’s', memory: 'kernel', size: 16, direction: to },
  { what: 'no memory of the kernel’s', memory: 'kernel', size: 0, direction: from },
  { what: 'more than there is room in an address space', size: 2 ** 60, direction: to },
  { what: 'more than a number has', size: 2 ** 62, direction: to },
  { what: 'a position past all buffers', size: 100, position: 2 ** 60, direction: to },
  { what: 'and back from there', offset: 100, size: 100, position: 2 ** 60, direction: from },
  { what: 'memory that is not there', offset: MEMORY_SIZE, size: 16, direction: from },
  { what: 'its second page is not there', offset: MEMORY_SIZE - 100, size: 200, direction: from },
  { what: 'its second chunk is not there', offset: MEMORY_SIZE - 4096, size: 9000, direction: from },
  { what: 'memory that can only be read, to the device', memory: 'read-only', size: 16, direction: to },
  { what: 'memory that can only be read, from the device', memory: 'read-only', size: 16, direction: from },
  { what: 'what became of that', offset: 40, size: 32, direction: from },
  { what: 'the result cannot be filled in', argument: 'half read-only', offset: 7, size: 50, direction: from },
  { what: 'a device that takes too long', size: 4095, direction: from, timeoutMs: 5 },
  { what: 'the next one waits for it', offset: 3, size: 4095, direction: from },
  { what: 'a signal in the second chunk', size: 12_000, direction: from, meanwhile: 'signal' },
  { what: 'the device goes on after it', offset: 9, size: 300, direction: from },
  { what: 'one at a time', offset: 12_288, size: 500, direction: from, meanwhile: 'rival' },
  { what: 'a signal while another is at it', offset: 12_288, size: 500, direction: from, meanwhile: 'rival, signal' },
];

/** A call as guest/samples/dio_calls.c takes it. */
export function encodeDioCall(call: DioCall): string {
  const { request, argument, memory, offset = 0, size, position = 0, direction, timeoutMs = TIMEOUT_MS } = call;
  return [
    request === undefined ? 0 : 1,
    [undefined, 'nowhere', 'kernel', 'half read-only'].indexOf(argument),
    [undefined, 'read-only', 'kernel'].indexOf(memory),
    offset,
    BigInt(size),
    BigInt(position),
    direction,
    timeoutMs,
    call.meanwhile === undefined ? 0 : MEANWHILE.indexOf(call.meanwhile) + 1,
  ].join(' ');
}
