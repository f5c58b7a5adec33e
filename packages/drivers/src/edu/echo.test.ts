import { bindDriver } from '@usrdrv/core';
import { EduDevice, emulated } from '@usrdrv/emu';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eduDriver } from './driver.ts';
import { echo } from './echo.ts';
import { BLOCK_SIZE } from './registers.ts';

/** Sends chunks through a device of their own. */
async function through(input: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
  using backend = emulated({ devices: [new EduDevice()] });
  using bindings = await bindDriver(backend, eduDriver());
  const edu = bindings.bound[0]?.instance;
  if (edu === undefined) throw bindings.failed[0]?.error;
  const received: Uint8Array[] = [];
  for await (const block of echo(edu, input)) {
    expect(block.received).toEqual(block.sent);
    received.push(block.received);
  }
  return { received, interrupts: edu.interrupts };
}

test('however the input is cut, it comes back whole, in blocks of BLOCK_SIZE bytes but for the last', async () => {
  const chunk = fc.integer({ min: 0, max: 10_000 }).map((length) => new Uint8Array(length).map((_, at) => at * 13));
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 6 }), async (chunks) => {
      const whole = chunks.flatMap((bytes) => [...bytes]);
      const { received, interrupts } = await through(chunks);
      expect(received.flatMap((bytes) => [...bytes])).toEqual(whole);
      expect(received.slice(0, -1).every(({ length }) => length === BLOCK_SIZE)).toBe(true);
      expect(received).toHaveLength(Math.ceil(whole.length / BLOCK_SIZE));
      expect(interrupts).toBe(2 * received.length);
    }),
    { numRuns: 20 },
  );
});

test('a source may fill the same chunk again', async () => {
  async function* source() {
    const chunk = new Uint8Array(3000);
    for (let n = 1; n <= 3; n++) yield chunk.fill(n);
  }
  const { received } = await through(source());
  const counts = received
    .flatMap((bytes) => [...bytes])
    .reduce((of, byte) => of.set(byte, (of.get(byte) ?? 0) + 1), new Map());
  expect([...counts]).toEqual([
    [1, 3000],
    [2, 3000],
    [3, 3000],
  ]);
});
