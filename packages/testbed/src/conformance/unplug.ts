import { isDeepStrictEqual } from 'node:util';
import type { PluggedAgain, Unplugged } from '../in-guest/unplug.ts';
import type { PluggedAgainUio, UnpluggedUio } from '../in-guest/unplug-uio.ts';
import type { PluggedAgainVfio, UnpluggedVfio } from '../in-guest/unplug-vfio.ts';
import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

/** A program that has devices pulled out, and what it has to say. */
interface Scene<Pulled, Again> {
  readonly program: string;
  readonly rule: string;
  readonly pulled: Pulled;
  readonly again: Again;
}

const USRDRV: Scene<Unplugged, PluggedAgain> = {
  program: 'unplug',
  rule: 'D13',
  // poll: POLLIN, POLLERR and POLLHUP
  pulled: { read: 'ENODEV', poll: '1 0x19', driver: 'ENODEV', consistent: true, left: 0 },
  again: { devices: 2, echoed: [100, 100, 100, 100] },
};
const UIO: Scene<UnpluggedUio, PluggedAgainUio> = {
  program: 'unplug-uio',
  rule: 'N7 over uio,',
  pulled: { read: 'ENODEV', poll: 'ENODEV', driver: 'ENODEV', config: 'ENODEV', held: [] },
  again: { factorials: [3628800, 3628800] },
};

const VFIO: Scene<UnpluggedVfio, PluggedAgainVfio> = {
  program: 'unplug-vfio',
  rule: 'over vfio,',
  pulled: {
    read: 'ENODEV',
    poll: 'ENODEV',
    driver: 'ENODEV',
    config: 'ENODEV',
    removed: 'ENODEV',
    memory: true,
    held: [],
  },
  again: { echoed: [100, 100, 100, 100] },
};

/** The same by vfio. */
export async function unplugVfioChecks(guest: NodeGuest): Promise<Check[]> {
  return [...(await pullOut(guest, VFIO, 'once')), ...(await pullOut(guest, VFIO, 'a second time'))];
}

/**
 * Pulls both devices out through QEMU's monitor while they are in use, and plugs them in again, by usrdrv twice and by uio: what
 * is in use says ENODEV, and the devices that come later work.
 */
export async function unplugChecks(guest: NodeGuest): Promise<Check[]> {
  return [
    ...(await pullOut(guest, USRDRV, 'once')),
    ...(await pullOut(guest, USRDRV, 'a second time')),
    ...(await pullOut(guest, UIO, 'once')),
    ...(await pullOut(guest, UIO, 'a second time')),
  ];
}

async function pullOut<Pulled, Again>(guest: NodeGuest, of: Scene<Pulled, Again>, times: string): Promise<Check[]> {
  await guest.start(of.program);
  await guest.unplug();
  const pulled = same(`${of.rule} devices in use are pulled out ${times}`, await guest.line(), of.pulled);
  await guest.plug();
  const again = same(`${of.rule} devices plugged in after that work, ${times}`, await guest.line(), of.again);
  await guest.finish();
  return [pulled, again];
}

function same(name: string, line: string, expected: unknown): Check {
  if (line !== '' && isDeepStrictEqual(JSON.parse(line), expected)) return { name };
  return { name, wrong: `expected ${JSON.stringify(expected)}, got ${line === '' ? 'nothing' : line}` };
}
