import type { KernelName } from '../kernel.ts';

/** A backend of real Linux under the suite: a column of the matrix. */
export interface LinuxBackend {
  readonly name: string;
  /** The kernel of the guest that it runs in. */
  readonly kernel: Extract<KernelName, 'patched' | 'stock'>;
  /** What `usrdrv conformance` is told. */
  readonly options: readonly string[];
}

export const LINUX_BACKENDS: readonly LinuxBackend[] = [
  { name: 'usrdrv, patched', kernel: 'patched', options: ['--backend', 'usrdrv'] },
  { name: 'usrdrv, stock + module', kernel: 'stock', options: ['--backend', 'usrdrv'] },
  { name: 'vfio, INTx', kernel: 'patched', options: ['--backend', 'vfio'] },
  { name: 'vfio, MSI', kernel: 'patched', options: ['--backend', 'vfio', '--msi'] },
  { name: 'uio, stock', kernel: 'stock', options: ['--backend', 'uio'] },
];

/** The emulated kernel's, by what `emulatedTarget` calls them. */
export const EMULATED_BACKENDS = ['usrdrv', 'uio', 'iio'] as const;
