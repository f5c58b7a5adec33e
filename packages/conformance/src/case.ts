import type { KernelProfile } from '@usrdrv/core';
import type { Ability, MachineOptions } from './bench.ts';
import type { Context } from './context.ts';
import type { RuleId } from './rules.ts';

interface CaseData {
  /** The rule that it belongs to. */
  readonly id: RuleId;
  /** Where it looks from: system calls, or the interfaces that drivers use. */
  readonly level: 'syscall' | 'driver';
  /** What happens, as a sentence. */
  readonly title: string;
  /** Abilities without which it is skipped. */
  readonly needs?: readonly Ability[];
  /** Only this kernel makes the promise. */
  readonly kernel?: KernelProfile;
  /** A machine other than the usual one. */
  readonly machine?: MachineOptions;
}

/** One promise, and the code that finds out whether it is kept. */
export interface RunnableCase extends CaseData {
  run(t: Context): void | Promise<void>;
}

/** A promise that no fixed sequence of calls can show: it is listed, and always skipped. */
export interface ListedCase extends CaseData {
  readonly never: string;
}

/** One promise, by name. */
export type Case = RunnableCase | ListedCase;

/** What a runner calls the case: `P5 a read that returns a count leaves the line masked`. */
export function nameOf({ id, title }: Case): string {
  return `${id} ${title}`;
}

/** Why the case is skipped on such a target, undefined where it runs. */
export function skipReason(c: Case, missing: Readonly<Partial<Record<Ability, string>>>): string | undefined {
  if ('never' in c) return c.never;
  for (const ability of needsOf(c)) {
    const reason = missing[ability];
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function needsOf({ needs = [], machine = {} }: Case): readonly Ability[] {
  const abilities = [...needs];
  if (machine.interrupts === '8259') abilities.push('8259');
  if (machine.iommu === false) abilities.push('no-iommu');
  if (machine.comm !== undefined) abilities.push('comm');
  return abilities;
}
