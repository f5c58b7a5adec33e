import { errnoName } from '@usrdrv/core';
import type { RuleId } from './rules.ts';

/** A rule does not hold: what was looked at, what it should have been, and what it was. */
export class RuleViolation extends Error {
  override readonly name = 'RuleViolation';
  readonly rule: RuleId;
  readonly expected: string;
  readonly got: string;

  constructor(rule: RuleId, what: string, expected: string, got: string) {
    super(`${rule}: ${what}: expected ${expected}, got ${got}`);
    this.rule = rule;
    this.expected = expected;
    this.got = got;
  }
}

/** A system call's result as people read it: `4`, `-EAGAIN`, `0x7f00a000`. */
export function showResult(result: number | bigint): string {
  if (typeof result === 'bigint') return `0x${result.toString(16)}`;
  return result < 0 && result > -4096 ? `-${errnoName(result)}` : String(result);
}

/** Any value, short. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (value instanceof Error) return value.message;
  if (value instanceof Set) return `{${[...value].map(show).join(', ')}}`;
  if (Array.isArray(value) || value instanceof Uint8Array) {
    const shown = Array.from(value.slice(0, 8), show).join(', ');
    return value.length > 8 ? `[${shown}, … ${value.length} in all]` : `[${shown}]`;
  }
  return String(value);
}

/** Whether two values are the same: numbers and strings by value, arrays and sets by their members. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a instanceof Set && b instanceof Set) return same([...a], [...b]);
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, at) => byte === b[at]);
  }
  if (!Array.isArray(a) || !Array.isArray(b)) return false;
  return a.length === b.length && a.every((member, at) => same(member, b[at]));
}
