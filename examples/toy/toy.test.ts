import { readFileSync } from 'node:fs';
import { bindDriver, type KernelProfile } from '@usrdrv/core';
import { type ChoiceTag, calm, emulated, type Oracle } from '@usrdrv/emu';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sumDevice } from './device.ts';
import { sumDriver } from './driver.ts';

async function start(o: { kernel?: KernelProfile; oracle?: Oracle } = {}) {
  const backend = emulated({ devices: [sumDevice], ...o });
  const bindings = await bindDriver(backend, sumDriver);
  const [binding] = bindings.bound;
  if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('nothing to bind');
  return { backend, adder: binding.instance, reports: backend.machine.dmaDebug.reports };
}

/** Goes wrong at the nth time that it could. */
function fault(tag: ChoiceTag, nth = 1): Oracle {
  let asked = 0;
  return { ...calm, choose: (_, about) => (about === tag && ++asked === nth ? 1 : 0) };
}

const sumOf = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0);

describe.each<KernelProfile>(['usrdrv-6.1', 'chubb-2.6.11'])('on %s', (kernel) => {
  test('it adds up any bytes, wherever the pages are', async () => {
    const { backend, adder, reports } = await start({ kernel });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 20_000, size: 'max' }), async (bytes) => {
        expect(await adder.sum(bytes)).toBe(sumOf(bytes));
      }),
      { numRuns: 30 },
    );
    backend.close();
    expect(reports).toEqual([]);
  });

  test.each([
    ['device.stall', 'ETIMEDOUT'],
    ['dma.error', 'EIO'],
  ] as const)('%s is %s, and the next sum is right again', async (tag, code) => {
    const { adder, reports } = await start({ kernel, oracle: fault(tag) });
    await expect(adder.sum(Uint8Array.of(1, 2))).rejects.toMatchObject({ code });
    expect(await adder.sum(Uint8Array.of(1, 2))).toBe(3);
    expect(reports).toEqual([]);
  });
});

test('wherever the device is pulled out, no sum comes out wrong', async () => {
  const sum = async (oracle: Oracle) => (await start({ oracle })).adder.sum(Uint8Array.of(1, 2, 3));
  let accesses = 0;
  await sum({
    ...calm,
    choose(_, about) {
      if (about === 'device.remove') accesses++;
      return 0;
    },
  });
  expect(accesses).toBeGreaterThan(10);
  for (let access = 1; access <= accesses; access++) {
    await sum(fault('device.remove', access)).then(
      (result) => expect(result).toBe(6),
      (error) => expect(`${error}`).toMatch(/ENODEV|ENOENT|EIO|ETIMEDOUT|nothing to bind/),
    );
  }
});

test('more than the device takes is refused', async () => {
  const { adder } = await start();
  await expect(adder.sum(new Uint8Array(2 ** 24))).rejects.toThrow(RangeError);
  expect(await adder.sum(new Uint8Array(0))).toBe(0);
});

test.each(['device.ts', 'driver.ts'])('%s has less than 60 lines, and is the one of the tutorial', (name) => {
  const source = readFileSync(new URL(name, import.meta.url), 'utf8');
  expect(source.split('\n').length).toBeLessThan(60);
  const tutorial = readFileSync(new URL('../../docs/tutorial-device.md', import.meta.url), 'utf8');
  expect(tutorial).toContain(`\`\`\`ts file=${name}\n${source}\`\`\``);
});
