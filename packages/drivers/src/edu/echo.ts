import type { Edu, OperationOptions } from './driver.ts';
import { BLOCK_SIZE } from './registers.ts';

/** A block that went into the device's buffer and came out of it. */
export interface EchoedBlock {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
}

/**
 * Sends bytes through the device, about a buffer's worth at a time: by DMA into it, by DMA back, an interrupt after each.
 * @param input chunks of any size; blocks are cut from them, all of {@link BLOCK_SIZE} bytes but the last
 * @param o for each of the operations
 */
export async function* echo(
  edu: Edu,
  input: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  o?: OperationOptions,
): AsyncGenerator<EchoedBlock, void, undefined> {
  for await (const sent of blocks(input, BLOCK_SIZE)) {
    await edu.write(0, sent, o);
    yield { sent, received: await edu.read(0, sent.length, o) };
  }
}

/** Cuts chunks into blocks of `size` bytes, the last one shorter; views of the chunks where a block lies within one. */
async function* blocks(
  input: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of input) {
    let at = 0;
    if (rest.length > 0) {
      at = Math.min(size - rest.length, chunk.length);
      rest = joined(rest, chunk.subarray(0, at));
      if (rest.length < size) continue;
      yield rest;
    }
    for (; at + size <= chunk.length; at += size) yield chunk.subarray(at, at + size);
    // A copy: the source may fill its chunk again.
    rest = chunk.slice(at);
  }
  if (rest.length > 0) yield rest;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
