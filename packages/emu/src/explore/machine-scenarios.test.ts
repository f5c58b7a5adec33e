import type { KernelProfile } from '@usrdrv/core';
import { describe, expect, it } from 'vitest';
import { Exhaustive } from './exhaustive.ts';
import { explore, replayThreads } from './explore.ts';
import { lineOfADisk, twoDrivers } from './machine-scenarios.ts';

const KERNELS: readonly KernelProfile[] = ['chubb-2.6.11', 'usrdrv-6.1'];

describe.each(KERNELS)('a line that a disk has, on %s', (kernel) => {
  it('is refused to a program that the disk brings, which goes on', () => {
    const { failures, covered } = explore(lineOfADisk({ asIfShared: false }), { kernel });
    expect(failures).toEqual([]);
    expect(covered).toMatch(/^exhaustive within 3 preemptions/);
  });

  it('would end in a deadlock if the file shared it: the limit that the source names', () => {
    const scenario = lineOfADisk({ asIfShared: true });
    const { failures } = explore(scenario, { kernel, strategy: new Exhaustive(0) });
    const [failure] = failures;
    expect(new Set(failures.map(({ violation }) => violation.invariant))).toEqual(new Set(['nobody sleeps for ever']));
    expect(failure?.violation.what).toContain(
      'driver waits: the page that the disk brings; irq 16 is masked, at depth 1, its count 0',
    );
    expect(replayThreads(failure?.token ?? '', scenario).violation).toEqual(failure?.violation);
  });
});

describe('two drivers on one machine', () => {
  it('each read the interrupts of their own device, whatever the other does', () => {
    const { failures, outcomes, covered } = explore(twoDrivers, { strategy: new Exhaustive(1), outcomes: true });
    expect(failures).toEqual([]);
    expect([...outcomes.keys()]).toEqual(['driver of 16=1 driver of 17=1']);
    expect(covered).toMatch(/^exhaustive within 1 preemption:/);
  });
});
