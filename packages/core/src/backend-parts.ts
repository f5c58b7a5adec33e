/**
 * What a backend over the files of a kernel is made of, for who writes one more. Drivers and applications need none of it.
 */
export { type Closeable, closed, closeEach, OpenResources } from './open-resources.ts';
export { BarRegions, type MapBar } from './user-mode-backend/bar-regions.ts';
export { OF_PINNING } from './user-mode-backend/dma-mapper.ts';
export {
  checkMappable,
  checkSize,
  MemoryMapping,
  UserModeConsistentMemory,
  UserModeMemory,
} from './user-mode-backend/dma-memory.ts';
export { checkVector, intxLine } from './user-mode-backend/intx.ts';
export { checkLine } from './user-mode-backend/irq-file.ts';
export { FileIrqSource, type InterruptFile } from './user-mode-backend/irq-source.ts';
export { MappedRegion } from './user-mode-backend/mmio-region.ts';
export { type PolledFile, SyncReads, takeWhenReady } from './user-mode-backend/polled-file.ts';
export { readNumber, readText, scanSysfs, sysfsPath, thrownAsSystemError } from './user-mode-backend/sysfs.ts';
export { AnonymousMemory, immediate, mapped } from './user-mode-backend/user-memory.ts';
export { type BackendResources, KernelBackend, type KernelInterfaceOf } from './user-mode-backend/user-mode-backend.ts';
