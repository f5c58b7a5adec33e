export { type KernelInterface, kernelInterface } from './kernel-interface.ts';
export { LinuxKernel } from './linux-kernel.ts';
export { usrdrvBackend } from './usrdrv-backend.ts';
