// What `--backend NAME` of the examples opens.
import { parseArgs } from 'node:util';
import { type Backend, type UserModeKernel, userModeBackend } from '@usrdrv/core';
import { type DeviceModel, Machine } from '@usrdrv/emu';

const BACKENDS = ['emu', 'usrdrv', 'vfio', 'uio'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** A machine to run on. */
export interface Host extends Disposable {
  readonly name: BackendName;
  readonly backend: Backend;
  /** One floor down, the system calls. */
  readonly kernel: UserModeKernel;
}

/** The name after `--backend`, `emu` where it is left out; and what else is on the command line. */
export function backendArgument(): { name: BackendName; positionals: string[] } {
  const { values, positionals } = parseArgs({ options: { backend: { type: 'string' } }, allowPositionals: true });
  const name = BACKENDS.find((each) => each === (values.backend ?? 'emu'));
  if (name === undefined) throw new RangeError(`--backend is one of ${BACKENDS.join(', ')}, not ${values.backend}`);
  return { name, positionals };
}

/**
 * Opens a backend by its name.
 * @param devices what the emulated machine has in its slots; a real one has what it has
 */
export async function openHost(name: BackendName, devices: readonly DeviceModel[]): Promise<Host> {
  if (name === 'emu') {
    const { kernel } = new Machine({ devices });
    return host(name, kernel, userModeBackend(kernel));
  }
  // Only here: it has an addon to load, and looks at what the machine has.
  const { LinuxKernel, openBackend } = await import('@usrdrv/native');
  return host(name, new LinuxKernel(), openBackend({ only: [name] }));
}

function host(name: BackendName, kernel: UserModeKernel, backend: Backend): Host {
  const close = () => {
    backend.close();
    kernel[Symbol.dispose]();
  };
  return { name, backend, kernel, [Symbol.dispose]: close };
}
