import { type Row, type RunOptions, runConformance } from '@usrdrv/conformance';
import { type Backend, type FileView, type KernelProfile, SystemError, userModeBackend } from '@usrdrv/core';
import { EduDevice, Machine, type TraceEvent } from '@usrdrv/emu';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';

/** What `--backend` takes. */
export const BACKENDS = ['emu', 'usrdrv', 'vfio', 'uio'] as const;
type LinuxBackendName = Exclude<(typeof BACKENDS)[number], 'emu'>;
/** What `--kernel` takes. */
export const KERNELS: readonly KernelProfile[] = ['usrdrv-6.1', 'chubb-2.6.11'];

export interface HostOptions {
  readonly backend: (typeof BACKENDS)[number];
  /** Of emu. */
  readonly kernel: KernelProfile;
}

/** A log that can be switched on and off. */
export interface Trace {
  on: boolean;
  readonly events: readonly TraceEvent[];
}

/** A machine to work on, whatever is behind it. */
export interface Host extends Disposable {
  readonly backend: Backend;
  /** Its /proc and /sys. */
  readonly files: FileView;
  /** For people: where a command ran. */
  readonly description: string;
  /** What happened on it, where that can be seen; the backend's time is virtual then. */
  readonly trace?: Trace;
  /**
   * Makes a line interrupt again and again, where no device is there to do it.
   * @returns what it does, for people
   * @throws RangeError no such line
   */
  pulse?(line: number, everyMs: number): string;
}

/** Starts or opens what `--backend` and `--kernel` name. */
export function openHost({ backend, kernel }: HostOptions): Host | Promise<Host> {
  return backend === 'emu' ? emulatedHost(kernel) : linuxHost(backend);
}

function emulatedHost(kernel: KernelProfile): Host {
  const machine = new Machine({ kernel, devices: [new EduDevice()] });
  const backend = userModeBackend(machine.kernel);
  return {
    backend,
    files: machine.kernel.files,
    description: `on an emulated machine with kernel ${kernel}`,
    trace: machine.trace,
    pulse(line, everyMs) {
      const wire = machine.line(line);
      const again = () => {
        machine.clock.after(everyMs * 1e6, () => {
          wire.pulse();
          again();
        });
      };
      again();
      return `emulated: irq ${line} is pulsed every ${everyMs} ms of virtual time`;
    },
    [Symbol.dispose]() {
      backend.close();
      machine.kernel[Symbol.dispose]();
    },
  };
}

async function linuxHost(name: LinuxBackendName): Promise<Host> {
  const { kernelInterface, LinuxKernel, openBackend } = await native(import('@usrdrv/native'));
  const backend = openBackend({ only: [name] });
  const kernel = new LinuxKernel();
  const version = new TextDecoder().decode(kernel.files.readFileSync('/proc/sys/kernel/osrelease')).trim();
  const usrdrv = kernelInterface() === 'module' ? 'the module' : 'system calls';
  return {
    backend,
    files: kernel.files,
    description: `on Linux ${version} by ${name === 'usrdrv' ? usrdrv : name}`,
    [Symbol.dispose]() {
      backend.close();
      kernel[Symbol.dispose]();
    },
  };
}

/** Runs the conformance suite there. */
export async function conformanceRows(
  { backend, kernel, msi = false }: HostOptions & { readonly msi?: boolean },
  o: Pick<RunOptions, 'onProgress' | 'rules'>,
): Promise<Row[]> {
  if (backend === 'emu') {
    return runConformance({
      setup: (machine) => ({ ...emulatedTarget(kernel, machine), ...(msi && { vector: 0 }) }),
      teardown: endTarget,
      ...o,
    });
  }
  const { linuxBed } = await native(import('@usrdrv/native/bench'));
  return runConformance({ ...linuxBed(backend, { msi }), ...o });
}

/** A part of @usrdrv/native, which need not be installed. */
async function native<T>(loading: Promise<T>): Promise<T> {
  try {
    return await loading;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause;
    throw new SystemError('ENOENT', 'import', { path: '@usrdrv/native', detail: 'install it beside usrdrv' });
  }
}
