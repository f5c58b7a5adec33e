// The edu demo and the conformance suite, written for a browser and run in Node too: both have to give the same.
import { runConformance } from '@usrdrv/conformance';
import { bindDriver, type KernelProfile } from '@usrdrv/core';
import { echo, eduDriver } from '@usrdrv/drivers/edu';
import { EduDevice, emulated } from '@usrdrv/emu';
import { emulatedTarget } from '@usrdrv/emu/bench';

/** 40 blocks of 4096 bytes and one of 1. */
const SIZE = 40 * 4096 + 1;

export interface DemoResult {
  readonly factorial: number;
  /** SHA-256, in hexadecimal, of what went into the device and of what came out of it. */
  readonly sent: string;
  readonly received: string;
  readonly interrupts: number;
  readonly virtualNs: string;
  readonly dmaReports: readonly string[];
}

/** Computes by interrupt, then sends bytes through the device by DMA. */
export async function eduDemo(kernel: KernelProfile, msi: boolean): Promise<DemoResult> {
  using backend = emulated({ kernel, devices: [new EduDevice()] });
  using bindings = await bindDriver(backend, eduDriver({ msi }));
  const [binding] = bindings.bound;
  if (binding === undefined) throw bindings.failed[0]?.error ?? new Error('there is no edu device');
  const edu = binding.instance;

  const factorial = await edu.factorial(10);
  const bytes = demoBytes();
  const received = new Uint8Array(SIZE);
  let at = 0;
  for await (const block of echo(edu, [bytes])) {
    received.set(block.received, at);
    at += block.received.length;
  }
  return {
    factorial,
    sent: await sha256(bytes),
    received: await sha256(received.subarray(0, at)),
    interrupts: edu.interrupts,
    virtualNs: String(backend.clock.now()),
    dmaReports: backend.machine.dmaDebug.reports.map(String),
  };
}

export function demoBytes(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: SIZE }, (_, at) => (at * 7 + (at >> 12)) & 0xff);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The suite's result, rule by rule: `P5 3 passed, 0 failed, 0 skipped`. */
export async function conformanceRows(kernel: KernelProfile): Promise<string[]> {
  const rows = await runConformance({
    setup: (machine) => emulatedTarget(kernel, machine),
    teardown(target) {
      target.backend.close();
      target.kernel[Symbol.dispose]();
    },
  });
  return rows.map(({ id, passed, failed, skipped }) => `${id} ${passed} passed, ${failed} failed, ${skipped} skipped`);
}
