import { type Backend, userModeBackend } from '@usrdrv/core';
import { Machine, type MachineOptions } from './machine/machine.ts';

/** A backend on an emulated machine, and the machine itself: its back doors, its log, its time. */
export interface EmulatedBackend extends Backend {
  readonly machine: Machine;
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
 * @throws RangeError a number of processors, a size of memory or a device that no machine can have
 */
export function emulated(o: MachineOptions = {}): EmulatedBackend {
  const machine = new Machine(o);
  const backend = userModeBackend(machine.kernel);
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
