export { programs } from './arbitrary.ts';
export { type CheckOptions, checkPrograms, compare, type Predicted, predict } from './check-programs.ts';
export * from './program.ts';
export { runProgram } from './run-program.ts';
