export type { AccessHandlers, Bar, DeviceBus, DeviceConfig, DeviceModel, Width } from './devices/device.ts';
export { EduDevice } from './devices/edu.ts';
export { type EmulatedBackend, emulated } from './emulated.ts';
export { type Fault, type FaultPlan, faults } from './explore/fault-plan.ts';
export { CHOICE_TAGS, type ChoiceTag, calm, type Oracle } from './explore/oracle.ts';
export { ChoiceLimitError, RecordingOracle, type TakenChoice } from './explore/recording-oracle.ts';
export {
  NoEndError,
  type PowerOn,
  type Run,
  type RunOptions,
  replay,
  runScenario,
  type Scenario,
  ScenarioFailure,
} from './explore/scenario.ts';
export { TapeOracle } from './explore/tape-oracle.ts';
export { formatToken, parseToken, type Tape, type Token } from './explore/token.ts';
export type { Timer, VirtualClock } from './machine/clock.ts';
export type { DmaDebug, DmaMisuse, DmaReport } from './machine/dma-debug.ts';
export type { IrqLine } from './machine/irq-line.ts';
export { Machine, type MachineOptions } from './machine/machine.ts';
export type { PciFunction } from './machine/pci-function.ts';
export type { PciHost, PlugOptions } from './machine/pci-host.ts';
export type { TraceEvent, TraceKind, TraceLog } from './trace/log.ts';
