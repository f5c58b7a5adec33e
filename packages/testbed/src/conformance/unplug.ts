import { isDeepStrictEqual } from 'node:util';
import type { PluggedAgain, Unplugged } from '../in-guest/unplug.ts';
import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

const PULLED: Unplugged = { read: 'ENODEV', poll: '1 0x19', driver: 'ENODEV', consistent: true, left: 0 };
const AGAIN: PluggedAgain = { devices: 2, echoed: [100, 100, 100, 100] };

/**
 * Pulls both devices out through QEMU's monitor while they are in use, and plugs them in again, twice: what is in use says
 * ENODEV (poll: POLLIN, POLLERR and POLLHUP), and the devices that come later work.
 */
export async function unplugChecks(guest: NodeGuest): Promise<Check[]> {
  const checks: Check[] = [];
  for (const round of ['once', 'a second time']) {
    await guest.start('unplug');
    await guest.unplug();
    checks.push(same(`D13 devices in use are pulled out ${round}`, JSON.parse(await guest.line()), PULLED));
    await guest.plug();
    checks.push(same(`D13 devices plugged in after that work, ${round}`, JSON.parse(await guest.line()), AGAIN));
    await guest.finish();
  }
  return checks;
}

function same(name: string, got: unknown, expected: unknown): Check {
  if (isDeepStrictEqual(got, expected)) return { name };
  return { name, wrong: `expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}` };
}
