import type { NodeGuest } from '../conformance/node-guest.ts';
import type { Check } from '../conformance/suite.ts';
import { named } from '../programs/encode.ts';
import { DIO_CALLS, encodeDioCall } from './dio-calls.ts';
import { emulatedDioCalls } from './dio-emulated.ts';

/** That of the guest's first edu device. */
const NODE = '/dev/edu_dio-0000:01:00.0';

/** The calls of edu_dio, one by one, in the emulated kernel and in the guest's, which has the module loaded. */
export async function dioChecks(guest: NodeGuest): Promise<Check[]> {
  const { status, stdout } = await guest.exec('/samples/dio_calls', NODE, ...DIO_CALLS.map(encodeDioCall));
  const real = stdout.split('\n').filter((line) => line !== '');
  const emulated = await emulatedDioCalls(DIO_CALLS);
  const checks: Check[] = DIO_CALLS.map(({ what }, at) => compare(what, emulated[at] ?? '', real[at] ?? 'nothing'));
  if (status !== 0) checks.push({ name: 'edu_dio: the calls come to their end', wrong: `status ${status}` });
  return checks;
}

/** A line is the result, the bytes that it says were moved, those of a rival, and a hash of the memory. */
function compare(what: string, emulated: string, real: string): Check {
  const [emu, is] = [words(emulated), words(real)];
  const name = `edu_dio ${what.padEnd(44)} ${emu}`;
  return emu === is ? { name } : { name, wrong: `emu ${emu}\n  real ${is}` };
}

function words(line: string): string {
  return named(line).replace(/(\S+) (\d+)(?= )/g, '$1, $2 moved,');
}
