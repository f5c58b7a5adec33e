import { printedChecks } from '../conformance/commands.ts';
import type { NodeGuest } from '../conformance/node-guest.ts';
import type { Check } from '../conformance/suite.ts';
import { dioChecks } from './dio.ts';

/**
 * On Debian's kernel: the uio backend over the stub driver uio_edu, and the calls of edu_dio beside those of the emulated
 * kernel's driver.
 */
export async function sampleChecks(guest: NodeGuest): Promise<Check[]> {
  return [
    ...(await withModule(guest, 'uio_edu', () => printedChecks(guest, 'uio-stub'))),
    ...(await withModule(guest, 'edu_dio', () => dioChecks(guest))),
  ];
}

/** With a sample module loaded, which has the first of the two devices alone where it can be told to. */
export async function withModule<T>(guest: NodeGuest, module: string, act: () => Promise<T>): Promise<T> {
  await run(
    guest,
    `/bin/busybox insmod /samples/${module}.ko || exit
     cd /sys/bus/pci/drivers/${module} && set -- 0000:* && [ $# = 2 ] || exit
     [ -e unbind ] || exit 0
     echo $2 >unbind`,
  );
  const result = await act();
  await run(guest, `/bin/busybox rmmod ${module}`);
  return result;
}

async function run(guest: NodeGuest, script: string): Promise<void> {
  const { status, stdout } = await guest.shell(`exec 2>&1; ${script}`);
  if (status !== 0) throw new Error(`${script}: status ${status}: ${stdout}`);
}
