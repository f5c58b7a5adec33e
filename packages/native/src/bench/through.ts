import { type Backend, uioBackend, userModeBackend } from '@usrdrv/core';
import type { LinuxKernel } from '../linux-kernel.ts';
import { vfioBackend } from '../vfio/vfio-backend.ts';

/** How the suite gets at devices by one of the backends. */
export interface Through {
  readonly open: (kernel: LinuxKernel) => Backend;
  /** Whether it opens functions by usr_pci_open (U1). Such a backend has the cases of system calls too. */
  readonly standsOnUsrPci: boolean;
  /** The driver of the kernel that the devices have to be with. Left out: none. */
  readonly driver?: string;
  /** See Target of @usrdrv/conformance. */
  readonly asksDeviceAtUnmask?: boolean;
}

/** The backends that the suite runs on. */
export const THROUGH = {
  usrdrv: { open: userModeBackend, standsOnUsrPci: true },
  uio: { open: uioBackend, standsOnUsrPci: false, driver: 'uio_pci_generic' },
  vfio: { open: () => vfioBackend(), standsOnUsrPci: false, driver: 'vfio-pci', asksDeviceAtUnmask: true },
} as const satisfies Readonly<Record<string, Through>>;

export type ThroughName = keyof typeof THROUGH;
