import type { KernelProfile } from '@usrdrv/core';
import type { MachineOptions } from '../machine/machine.ts';
import type { Invariant } from './invariants.ts';
import type { ChoiceTag } from './oracle.ts';
import type { World } from './world.ts';

/**
 * A program of a few threads and devices on one machine, whose every interleaving is to be right. Its threads are
 * generators of system calls, so that it can be stopped between any two steps of the kernel.
 */
export interface ThreadScenario {
  /** Names it in tokens: letters, digits, `.`, `_`, `~` and `-`. */
  readonly name: string;
  /** What it shows, in a line. */
  readonly about: string;
  /** Left out: two processors, and everything else as usual. */
  readonly machine?: Omit<MachineOptions, 'kernel' | 'oracle' | 'trace'>;
  /** The kernels that it makes sense on, and why not on others. Left out: all. */
  readonly only?: { readonly kernel: KernelProfile; readonly because: string };
  /** What is open besides who goes on. Left out: which processor takes an interrupt. */
  readonly choices?: readonly ChoiceTag[];
  /** Invariants besides those that always hold. */
  readonly invariants?: readonly Invariant[];
  /** An invariant that does not hold here, by name, and why. */
  readonly without?: { readonly invariant: string; readonly because: string } | undefined;
  /** More preemptions than this make too many schedules for a plain exhaustive search. */
  readonly mostPreemptions?: number;
  /** It changes more of the machine than its lines: each run gets a machine of its own, which takes longer. */
  readonly fresh?: boolean;
  /** Gives the world its threads and devices. Called before each run. */
  start(world: World): void;
  /** When nobody can go on: ends whoever sleeps, looks at what is left. Left out: devices interrupt until all are done. */
  atRest?(world: World): void;
  /** What came of a run. Left out: what each thread read. */
  outcome?(world: World): string;
}
