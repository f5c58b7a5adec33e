import type { SuiteSupports, Target } from './bench.ts';
import { type Bed, type ProgramOptions, plan } from './plan.ts';

/** What {@link conformance} is given. */
export interface SuiteOptions<T extends Target = Target> extends Bed<T>, ProgramOptions {
  /** Any runner's: vitest's `test`, node:test's, mocha's `it`. */
  readonly test: (name: string, run: () => Promise<void>) => void;
  /** Reports a case that is not run. */
  readonly skip: (name: string, reason: string) => void;
  /** What the target promises; see `supportsOf`. */
  readonly supports: SuiteSupports;
}

/**
 * Declares the suite with a test runner: a test for each case that the target can run, a skip with its reason for each
 * that it cannot.
 */
export function conformance<T extends Target>(o: SuiteOptions<T>): void {
  for (const { name, reason, run } of plan(o.supports, o, o)) {
    if (reason === undefined) o.test(name, run);
    else o.skip(name, reason);
  }
}
