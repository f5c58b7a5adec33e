import type { KernelProfile } from '@usrdrv/core';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import { test } from 'vitest';
import { conformance, supportsOf } from '../src/index.ts';

/** Declares the suite with vitest, on emulated machines that run one kernel; the driver level only, where over UIO or IIO. */
export function conformanceOfEmu(kernel: KernelProfile, through?: 'uio' | 'iio'): void {
  const over = through && { interface: through };
  const target = emulatedTarget(kernel, { ...over });
  const supports = supportsOf(target);
  endTarget(target);

  conformance({
    supports,
    test: (name, run) => test(name, run, 60_000),
    skip: (name, reason) => test.skip(`${name} (${reason})`),
    setup: (machine) => emulatedTarget(kernel, { ...machine, ...over }),
    teardown: endTarget,
    ...(through && { level: 'driver' }),
    programs: 2000,
    // The same programs each time: a change that breaks one is seen by who made it.
    seed: 2005,
  });
}
