import type { RunOptions } from '@usrdrv/conformance';
import { type Backend, type FileView, type KernelProfile, userModeBackend } from '@usrdrv/core';
import { EduDevice, Machine, type TraceEvent } from '@usrdrv/emu';
import { emulatedTarget } from '@usrdrv/emu/bench';

/** What `--backend` takes. */
export const BACKENDS = ['emu'] as const;
/** What `--kernel` takes. */
export const KERNELS: readonly KernelProfile[] = ['usrdrv-6.1', 'chubb-2.6.11'];

export interface HostOptions {
  readonly backend: (typeof BACKENDS)[number];
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
  /** What happened on it, where that can be seen. */
  readonly trace?: Trace;
  /**
   * Makes a line interrupt again and again, where no device is there to do it.
   * @returns what it does, for people
   * @throws RangeError no such line
   */
  pulse?(line: number, everyMs: number): string;
}

/** Starts or opens what `--backend` and `--kernel` name. */
export function openHost({ kernel }: HostOptions): Host {
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

/** Fresh machines for the conformance suite. */
export function conformanceTarget({ kernel }: HostOptions): Pick<RunOptions, 'setup' | 'teardown'> {
  return {
    setup: (machine) => emulatedTarget(kernel, machine),
    teardown({ backend, kernel }) {
      backend.close();
      kernel[Symbol.dispose]();
    },
  };
}
