export { type KernelInterface, kernelInterface } from './kernel-interface.ts';
export { LinuxKernel } from './linux-kernel.ts';
export {
  type ChosenBackend,
  type NativeBackendName,
  NoBackend,
  type OpenBackendOptions,
  openBackend,
  type PassedOver,
  surveyBackends,
} from './open-backend.ts';
export type { Shortfall } from './shortfall.ts';
export { uioBackend } from './uio-backend.ts';
export { usrdrvBackend } from './usrdrv-backend.ts';
export type { VfioDevice } from './vfio/pci-device.ts';
export { type VfioBackend, type VfioBackendOptions, vfioBackend } from './vfio/vfio-backend.ts';
