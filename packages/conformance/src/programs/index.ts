/**
 * Random programs of system calls: as data, for executors other than this package's.
 *
 * @module
 */
export { programs } from './arbitrary.ts';
export { type CheckOptions, checkPrograms, compare, type Predicted, predict } from './check-programs.ts';
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
} from './program.ts';
export { runProgram } from './run-program.ts';
