import { type Backend, type PciAddress, SystemError } from '@usrdrv/core';
import { placeOf, type Shortfall, unreadable } from './shortfall.ts';
import { uioBackend } from './uio-backend.ts';
import { uioShortfall } from './uio-shortfall.ts';
import { usrdrvBackend } from './usrdrv-backend.ts';
import { usrdrvShortfall } from './usrdrv-shortfall.ts';
import { vfioBackend } from './vfio/vfio-backend.ts';
import { vfioShortfall } from './vfio/vfio-shortfall.ts';

/** The backends of real Linux, the first choice first. */
const BACKENDS = [
  { name: 'usrdrv', shortfall: usrdrvShortfall, open: usrdrvBackend },
  { name: 'vfio', shortfall: vfioShortfall, open: () => vfioBackend() },
  { name: 'uio', shortfall: uioShortfall, open: uioBackend },
] as const;

export type NativeBackendName = (typeof BACKENDS)[number]['name'];

/** A backend that was not chosen, why, and what would change that. */
export interface PassedOver extends Shortfall {
  readonly backend: NativeBackendName;
}

/** A backend, and why it is none of the others. */
export type ChosenBackend = Backend & { readonly passedOver: readonly PassedOver[] };

export interface OpenBackendOptions {
  /** The function that it is for: a backend that cannot open it as things are is passed over. Left out: any. */
  readonly device?: PciAddress | string;
  /** Only these are looked at. Left out: all. */
  readonly only?: readonly NativeBackendName[];
}

/** None of the backends can be used; the text has the reason for each. */
export class NoBackend extends SystemError {
  readonly passedOver: readonly PassedOver[];

  constructor(passedOver: readonly PassedOver[]) {
    const detail = passedOver.map(({ backend, reason, remedy }) => `${backend}: ${reason}; ${remedy}`).join('. ');
    super('ENODEV', 'openBackend', { detail });
    this.passedOver = passedOver;
  }
}

/**
 * Opens the first backend that this machine has. Who wants a particular one calls its own function instead.
 * @throws NoBackend (ENODEV) none of them can be used
 * @throws SystemError ENOENT no such device; its directory in sysfs cannot be read
 * @throws TypeError, RangeError no PCI address
 * @throws Error where the addon is not there
 */
export function openBackend(o: OpenBackendOptions = {}): ChosenBackend {
  const survey = surveyBackends(o);
  const chosen = survey.find(({ shortfall }) => shortfall === undefined)?.backend;
  const passedOver = survey
    .filter(({ backend }) => backend !== chosen)
    .map(({ backend, shortfall }) => ({ backend, ...(shortfall ?? comesLater(backend, chosen)) }));
  const open = BACKENDS.find(({ name }) => name === chosen)?.open;
  if (open === undefined) throw new NoBackend(passedOver);
  return Object.assign(open(), { passedOver });
}

/**
 * What each backend lacks on this machine, the first choice first; nothing where it can be used. Files are read and asked for
 * permission; nothing is opened, and the addon is not needed.
 * @param o.root the folder that has the machine's /sys, /proc and /dev; left out: `/`
 * @throws as {@link openBackend}, but for NoBackend
 */
export function surveyBackends(
  o: OpenBackendOptions & { readonly root?: string } = {},
): { readonly backend: NativeBackendName; readonly shortfall?: Shortfall }[] {
  const place = placeOf(o.root ?? '/', o.device);
  return BACKENDS.filter(({ name }) => o.only?.includes(name) ?? true).map(({ name, shortfall }) => {
    const found = looked(() => shortfall(place));
    return found === undefined ? { backend: name } : { backend: name, shortfall: found };
  });
}

function looked(look: () => Shortfall | undefined): Shortfall | undefined {
  try {
    return look();
  } catch (error) {
    return unreadable(error);
  }
}

function comesLater(backend: string, chosen: string | undefined): Shortfall {
  return { reason: `${chosen} comes first`, remedy: `openBackend({ only: ['${backend}'] })` };
}
