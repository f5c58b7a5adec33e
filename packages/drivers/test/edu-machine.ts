// An emulated machine with an edu device, for the tests of its driver.
import { bindDriver, type KernelProfile, SystemError, userModeBackend } from '@usrdrv/core';
import { type ChoiceTag, calm, EduDevice, Machine, type Oracle } from '@usrdrv/emu';
import { afterEach } from 'vitest';
import { eduDriver } from '../src/edu/driver.ts';

export const kernels: { kernel: KernelProfile; msi: boolean }[] = [
  { kernel: 'usrdrv-6.1', msi: false },
  { kernel: 'usrdrv-6.1', msi: true },
  { kernel: 'chubb-2.6.11', msi: false },
];

export const SLOT = '0000:00:04.0';

/** What is closed after the test, the last first. */
export const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0).reverse()) one[Symbol.dispose]();
});

/** A machine with one edu, and a backend on it. */
export function boot({ kernel = 'usrdrv-6.1', oracle = calm }: { kernel?: KernelProfile; oracle?: Oracle } = {}) {
  const device = new EduDevice();
  const machine = new Machine({ kernel, oracle, devices: [device] });
  const backend = userModeBackend(machine.kernel);
  open.push(machine.kernel, backend);
  return { device, machine, backend, now: () => machine.clock.now / 1e6 };
}

/** The same, with the driver bound. */
export async function start(o: { kernel?: KernelProfile; oracle?: Oracle; msi?: boolean } = {}) {
  const host = boot(o);
  const { bound, failed } = await bindDriver(host.backend, eduDriver({ msi: o.msi ?? false }));
  const [binding] = bound;
  if (binding === undefined) throw failed[0]?.error;
  return { ...host, binding, edu: binding.instance, dma: binding.device.dma };
}

/** Chooses 1 for the nth question of that kind (from 0), and is calm otherwise. */
export function fault(tag: ChoiceTag, nth = 0): Oracle & { asked: number } {
  return {
    asked: 0,
    asksAtSteps: false,
    choose(_n, asked) {
      return asked === tag && this.asked++ === nth ? 1 : 0;
    },
  };
}

export function code(error: unknown): string {
  return error instanceof SystemError ? error.code : String(error);
}

/** The code of what a promise rejects with; `'fulfilled'` where it does not. */
export function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'fulfilled', code);
}

export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 7 + seed * 31 + 1) & 0xff);
}
