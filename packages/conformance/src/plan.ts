import type { KernelProfile } from '@usrdrv/core';
import type { MachineOptions, SuiteSupports, Target } from './bench.ts';
import { type Case, nameOf, skipReason } from './case.ts';
import { CASES } from './cases/index.ts';
import { Context } from './context.ts';
import { checkPrograms } from './programs/check-programs.ts';
import { RULES } from './rules.ts';

/** Where cases run: each gets a fresh target, of the machine that it wants, and gives it back. */
export interface Bed<T extends Target = Target> {
  readonly setup: (machine: MachineOptions) => T | Promise<T>;
  readonly teardown: (target: T) => void | Promise<void>;
}

/** Which cases are run; how many random programs, and where their random numbers start. */
export interface ProgramOptions {
  /** Only the cases of that level. A backend that is no kernel with the usr_pci calls has the driver level only. */
  readonly level?: Case['level'];
  /** Left out: 500. */
  readonly programs?: number;
  /** Left out: somewhere else each time; a failure says where. */
  readonly seed?: number;
}

/** A case of a run: with the reason why it is skipped, or with what runs it. */
export interface Planned {
  readonly case: Case;
  readonly name: string;
  readonly reason?: string;
  readonly run: () => Promise<void>;
}

const PROGRAMS = 500;

/** What a run of the suite consists of, rule by rule. */
export function plan<T extends Target>(
  { profile, missing }: SuiteSupports,
  bed: Bed<T>,
  { level, programs = PROGRAMS, seed }: ProgramOptions,
): Planned[] {
  const check = (): Promise<void> => checkPrograms({ ...bed, runs: programs, ...(seed !== undefined && { seed }) });
  const cases = casesOf(profile).filter((each) => level === undefined || each.level === level);
  return cases.map((c) => {
    const reason = skipReason(c, missing);
    return { case: c, name: nameOf(c), ...(reason !== undefined && { reason }), run: () => runCase(c, bed, check) };
  });
}

/** The cases that a kernel has to pass, in the order of {@link RULES}. */
export function casesOf(profile: KernelProfile): readonly Case[] {
  const order = Object.keys(RULES);
  return CASES.filter((c) => c.kernel === undefined || c.kernel === profile)
    .filter((c) => RULES[c.id][1].includes(profile))
    .sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
}

async function runCase<T extends Target>(
  c: Case,
  { setup, teardown }: Bed<T>,
  check: () => Promise<void>,
): Promise<void> {
  if ('never' in c) throw new Error(`${nameOf(c)} is never run: ${c.never}`);
  const target = await setup(c.machine ?? {});
  try {
    await c.run(new Context(c.id, target, check));
  } finally {
    await teardown(target);
  }
}
