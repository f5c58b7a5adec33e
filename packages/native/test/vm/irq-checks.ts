import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { IrqSource, MmioRegion } from '@usrdrv/core';
import type { RealtimeIrq } from '@usrdrv/native/realtime';
import { ACKNOWLEDGE, RAISE } from './edu-registers.ts';

// What holds of a source of edu, whichever backend it is of.

/** More than an interrupt takes from the device to the kernel, also on a host that has other things to do. */
export const ARRIVAL_MS = 2000;

/** `readSync` is refused while a read waits, takes each interrupt after that, and leaves none. */
export async function readSyncTakesInterrupts(source: IrqSource, irq: RealtimeIrq, bar: MmioRegion): Promise<void> {
  const waits = source.read();
  assert.throws(() => irq.readSync(), /EBUSY/);
  bar.write32(RAISE, 1);
  assert.equal(await waits, 1);
  for (let round = 0; round < 3; round++) {
    bar.write32(ACKNOWLEDGE, 0xffff_ffff);
    bar.write32(RAISE, 1);
    assert.equal(irq.readSync(), 1);
  }
  bar.write32(ACKNOWLEDGE, 0xffff_ffff);
  assert.equal(source.tryRead(), undefined);
}

/** A read that waits hears of the next interrupt where `tryRead` has taken the one before. */
export async function tryReadLeavesNobodyBehind(irq: IrqSource, bar: MmioRegion): Promise<void> {
  const waits = irq.read();
  bar.write32(RAISE, 1);
  // All at once: the event loop does not get to the read meanwhile.
  const end = performance.now() + ARRIVAL_MS;
  let taken: number | undefined;
  while (taken === undefined && performance.now() < end) taken = irq.tryRead();
  assert.equal(taken, 1);
  bar.write32(ACKNOWLEDGE, 0xffff_ffff);
  let woken = await Promise.race([waits, delay(50)]);
  // Let through before it was acknowledged, the level was told once more.
  if (woken !== undefined) return;
  bar.write32(RAISE, 1);
  woken = await Promise.race([waits, delay(ARRIVAL_MS)]);
  assert.equal(woken, 1);
  bar.write32(ACKNOWLEDGE, 0xffff_ffff);
}
