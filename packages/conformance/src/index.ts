export * from './bench.ts';
export * from './case.ts';
export { CASES } from './cases/index.ts';
export { Context } from './context.ts';
export * from './rules.ts';
export * from './run.ts';
export { RuleViolation } from './violation.ts';
