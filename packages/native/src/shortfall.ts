import { accessSync, constants, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { PciAddress, SystemError } from '@usrdrv/core';
import { CONTROL_DEVICE, kernelInterface } from './kernel-interface.ts';

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

const CAP_SYS_RAWIO = 17n;

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

/** What the usrdrv backend takes: the kernel's interface, CAP_SYS_RAWIO, /dev/mem, and a function without a driver. */
export function usrdrvShortfall({ root, device }: Place): Shortfall | undefined {
  if (kernelInterface(root) === 'none') {
    const reason = `the kernel has neither the usrdrv patch (/proc/irq/N/irq) nor its module (${CONTROL_DEVICE})`;
    return { reason, remedy: 'load the module, insmod usrdrv.ko, or boot a kernel with the patch series' };
  }
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(text(root, '/proc/self/status') ?? '')?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> CAP_SYS_RAWIO) & 1n) === 0n) {
    return { reason: 'this process lacks CAP_SYS_RAWIO', remedy: 'run it as root, or with that capability' };
  }
  const denied = refusal(root, '/dev/mem');
  if (denied !== undefined) {
    return { reason: `/dev/mem cannot be opened: ${denied}`, remedy: 'usrdrv doctor says what /dev/mem lacks' };
  }
  if (device === undefined) return undefined;
  if (device.driver === 'usr_pci') {
    return { reason: `a program has ${device.address} open`, remedy: 'end that program' };
  }
  const holder = device.driver ?? device.override;
  if (holder === undefined) return undefined;
  const how = device.driver === undefined ? 'reserved for' : 'bound to';
  return { reason: `${device.address} is ${how} ${holder}`, remedy: `usrdrv bind ${device.address} --to none` };
}

function text(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function linkName(root: string, path: string): string | undefined {
  try {
    return readlinkSync(join(root, path)).split('/').at(-1);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Why a device node cannot be opened to read and write, undefined where it can. */
function refusal(root: string, path: string): string | undefined {
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
