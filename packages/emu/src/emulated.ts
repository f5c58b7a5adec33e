import { type Backend, uioBackend, userModeBackend } from '@usrdrv/core';
import { Machine, type MachineOptions } from './machine/machine.ts';

/** A backend on an emulated machine, and the machine itself: its back doors, its log, its time. */
export interface EmulatedBackend extends Backend {
  readonly machine: Machine;
}

/** How the process gets at devices: by the usr_pci calls and the irq files, or by the nodes of UIO or of IIO. */
export type EmulatedInterface = 'usrdrv' | 'uio' | 'iio';

export interface EmulatedOptions extends MachineOptions {
  /**
   * Left out: `usrdrv`. With another, every function that is there at power-on is given to uio_pci_generic, or to its like
   * for IIO; later ones are bound with `machine.kernel.bindDriver`.
   */
  readonly interface?: EmulatedInterface;
}

/** Opens a machine as a backend; for UIO and IIO its functions are bound first. */
export function backendOf({ kernel, pci }: Machine, through: EmulatedInterface = 'usrdrv'): Backend {
  if (through === 'usrdrv') return userModeBackend(kernel);
  if (through !== 'uio' && through !== 'iio') throw new RangeError(`no interface is called ${String(through)}`);
  const driver = through === 'uio' ? 'uio_pci_generic' : 'iio_pci';
  for (const { address } of pci.functions()) kernel.bindDriver(driver, address);
  return uioBackend(kernel);
}

/**
 * Switches an emulated machine on, and opens it as a backend. Closing the backend ends every process of the machine.
 *
 * @example
 * ```ts
 * import { EduDevice, emulated } from '@usrdrv/emu';
 * using backend = emulated({ devices: [new EduDevice()] });
 * const [edu] = backend.pci.scan();
 * console.assert(edu?.vendorId === 0x1234 && edu.deviceId === 0x11e8);
 * ```
 * @throws RangeError a number of processors, a size of memory or a device that no machine can have; an interface that the
 *   kernel has not: UIO in 2005
 */
export function emulated(o: EmulatedOptions = {}): EmulatedBackend {
  const machine = new Machine(o);
  const backend = backendOf(machine, o.interface);
  const close = (): void => {
    backend.close();
    machine.kernel[Symbol.dispose]();
  };
  return {
    machine,
    name: backend.name,
    supports: backend.supports,
    pci: backend.pci,
    clock: backend.clock,
    openIrq: (line) => backend.openIrq(line),
    mapPhysical: (address, length) => backend.mapPhysical(address, length),
    close,
    [Symbol.dispose]: close,
  };
}
