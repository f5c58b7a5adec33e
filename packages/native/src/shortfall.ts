import { accessSync, constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { PciAddress, SystemError } from '@usrdrv/core';
import { thrownAsSystemError } from '@usrdrv/core/backend-parts';

/** Why a backend cannot be used, and what would change that. */
export interface Shortfall {
  readonly reason: string;
  readonly remedy: string;
}

/** Where to look: a machine, and the function that the backend is for, where there is one. */
export interface Place {
  /** The folder that has the machine's /sys, /proc and /dev. */
  readonly root: string;
  readonly device?: SysfsDevice;
}

interface SysfsDevice {
  readonly address: string;
  readonly driver: string | undefined;
  readonly override: string | undefined;
}

/**
 * A place to look, with the function as it is now.
 * @throws TypeError, RangeError no PCI address
 * @throws SystemError ENOENT no such function
 */
export function placeOf(root: string, device: PciAddress | string | undefined): Place {
  if (device === undefined) return { root };
  const address = String(PciAddress.from(device));
  const folder = `/sys/bus/pci/devices/${address}`;
  const override = text(root, `${folder}/driver_override`)?.trim();
  if (text(root, `${folder}/vendor`) === undefined) throw new SystemError('ENOENT', 'open', { path: folder });
  const named = override === '' || override === '(null)' ? undefined : override;
  return { root, device: { address, driver: linkName(root, `${folder}/driver`), override: named } };
}

/**
 * What a file holds, undefined where it is not there.
 * @throws SystemError it cannot be read
 */
export function text(root: string, path: string): string | undefined {
  return ifThere(path, 'read', () => readFileSync(join(root, path), 'utf8'));
}

/** The names in a folder, none where it is not there; as {@link text}. */
export function names(root: string, path: string): string[] {
  return ifThere(path, 'scandir', () => readdirSync(join(root, path))) ?? [];
}

/** The name of what a link leads to, undefined where there is none; as {@link text}. */
export function linkName(root: string, path: string): string | undefined {
  return ifThere(path, 'readlink', () => readlinkSync(join(root, path)))
    ?.split('/')
    .at(-1);
}

function ifThere<T>(path: string, syscall: string, read: () => T): T | undefined {
  try {
    return thrownAsSystemError(syscall, path, read);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** A shortfall that could not be looked for. */
export function unreadable(error: unknown): Shortfall {
  if (!(error instanceof SystemError) || error.path === undefined) throw error;
  return {
    reason: `${error.path} cannot be read: ${error.code}`,
    remedy: 'run it as root; in a container: mount /sys, /proc and /dev',
  };
}

/** Why a file cannot be opened to read and write, undefined where it can. */
export function refusal(root: string, path: string): string | undefined {
  try {
    accessSync(join(root, path), constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
