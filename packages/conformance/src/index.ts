export * from './bench.ts';
export type { Case, ListedCase, RunnableCase } from './case.ts';
export { CASES } from './cases/index.ts';
export * from './conformance.ts';
export { Context, type ErrorName, type Sleeper } from './context.ts';
export { type Bed, casesOf, type ProgramOptions } from './plan.ts';
export { programs } from './programs/arbitrary.ts';
export { type CheckOptions, checkPrograms, compare, type Predicted, predict } from './programs/check-programs.ts';
export {
  ARENA_PAGES,
  ARENAS,
  type Call,
  type CallOf,
  decodeProgram,
  encodeProgram,
  FOREIGN_FD,
  MAPPINGS,
  type Meanwhile,
  type Pointer,
  type Program,
  showCall,
  showProgram,
} from './programs/program.ts';
export { runProgram } from './programs/run-program.ts';
export * from './rules.ts';
export * from './run-conformance.ts';
export { RuleViolation } from './violation.ts';
