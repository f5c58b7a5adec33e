export type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from './devices/device.ts';
export { EduDevice } from './devices/edu.ts';
export { LedDevice } from './devices/led.ts';
export { type EmulatedBackend, type EmulatedInterface, type EmulatedOptions, emulated } from './emulated.ts';
export type { Actor, Program } from './explore/actor.ts';
export type { Course } from './explore/course.ts';
export { PartialOrder } from './explore/dpor.ts';
export { Exhaustive } from './explore/exhaustive.ts';
export {
  type Exploration,
  type ExploredFailure,
  type ExploreOptions,
  explore,
  replayThreads,
  runTape,
  type ThreadRun,
} from './explore/explore.ts';
export { type ExploreScenarioOptions, exploreScenario } from './explore/explore-scenario.ts';
export type { ExploredThread } from './explore/explored-thread.ts';
export { type Fault, type FaultPlan, faults } from './explore/fault-plan.ts';
export type { Invariant, Violation } from './explore/invariants.ts';
export { knownDefect } from './explore/known-defects.ts';
export { heldBy, MACHINE_INVARIANTS, type MachineInvariant } from './explore/machine-invariants.ts';
export { lineOfADisk } from './explore/machine-scenarios.ts';
export { CHOICE_TAGS, type ChoiceTag, calm, type Oracle } from './explore/oracle.ts';
export { Portfolio } from './explore/portfolio.ts';
export { RandomDeviations } from './explore/random-deviations.ts';
export { Pct, RandomWalk } from './explore/random-strategies.ts';
export { type LineState, type Moment, type Recording, record, type ThreadState } from './explore/recording.ts';
export { ChoiceLimitError, RecordingOracle, type TakenChoice } from './explore/recording-oracle.ts';
export {
  BrokenInvariantError,
  NoEndError,
  type PowerOn,
  type Run,
  type RunOptions,
  replay,
  runScenario,
  type Scenario,
  ScenarioFailure,
} from './explore/scenario.ts';
export { recordScenario } from './explore/scenario-recording.ts';
export { SCENARIOS, scenarioNamed } from './explore/scenarios.ts';
export type { Strategy } from './explore/strategy.ts';
export { TapeOracle } from './explore/tape-oracle.ts';
export type { ThreadScenario } from './explore/thread-scenario.ts';
export { formatToken, parseToken, type Tape, type Token } from './explore/token.ts';
export type { WatchedLine } from './explore/watched-line.ts';
export type { World } from './explore/world.ts';
export { EDU_DIO, EDU_DIO_TRANSFER } from './kernel/edu-direct-io.ts';
export type { Timer, VirtualClock } from './machine/clock.ts';
export type { DmaDebug, DmaMisuse, DmaReport } from './machine/dma-debug.ts';
export type { IrqLine } from './machine/irq-line.ts';
export { Machine, type MachineOptions } from './machine/machine.ts';
export type { PciFunction } from './machine/pci-function.ts';
export type { PciHost, PlugOptions } from './machine/pci-host.ts';
export { columns } from './trace/columns.ts';
export type { TraceEvent, TraceKind, TraceLog } from './trace/log.ts';
export { perfetto } from './trace/perfetto.ts';
export { vcd } from './trace/vcd.ts';
