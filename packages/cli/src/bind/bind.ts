import { SystemError } from '@usrdrv/core';
import type { MachineFiles } from '../machine/machine-files.ts';
import { driverFolder, SysfsFunction } from '../machine/pci-function.ts';
import { type FormerDriver, forget, recall, recordPath, remember } from './former-driver.ts';
import { usesOf } from './in-use.ts';
import { groupObstacles } from './iommu-group.ts';
import { BindRefused, type Obstacle } from './obstacle.ts';
import { perform, permissionObstacles, type SysfsWrite, writesFor } from './writes.ts';

/** What `--to` takes. `none`: no driver, as the usrdrv backend needs it. */
export const TARGETS = ['vfio-pci', 'uio_pci_generic', 'none'] as const;
export type Target = (typeof TARGETS)[number];

/** What is to be done with a function, or has been. */
export interface Plan {
  readonly address: string;
  readonly from: string | null;
  readonly to: string | null;
  /** In this order. None where the function is there already. */
  readonly writes: readonly SysfsWrite[];
  /** The file that remembers the former driver: written first by bind, removed last by unbind. */
  readonly record: string;
  /** What is in the way. */
  readonly obstacles: readonly Obstacle[];
}

export interface BindPlan extends Plan {
  /** What the record shall hold. */
  readonly former: FormerDriver;
  /** What it holds now. */
  readonly earlier: FormerDriver | undefined;
}

/**
 * What binding functions to a driver takes. Nothing is changed.
 * @param to where it is left out: vfio-pci for a function that is in an IOMMU group, else uio_pci_generic
 * @throws TypeError, RangeError no PCI address
 * @throws SystemError ENOENT no such function; EACCES, EIO sysfs cannot be read
 */
export function planBind(files: MachineFiles, addresses: readonly string[], to?: Target): BindPlan[] {
  const functions = addresses.map((address) => new SysfsFunction(files, address));
  const together = [...new Set(functions.map(({ address }) => address))];
  return together.map((address) => {
    const fn = new SysfsFunction(files, address);
    const target = to ?? (fn.group === undefined ? 'uio_pci_generic' : 'vfio-pci');
    const driver = target === 'none' ? null : target;
    const [from, override] = [fn.driver ?? null, fn.driverOverride ?? null];
    const writes = writesFor(fn, driver, driver);
    const obstacles: Obstacle[] = [];
    if (writes.length > 0) {
      obstacles.push(...usesOf(files, fn));
      if (target === 'vfio-pci') obstacles.push(...groupObstacles(files, fn, together));
      if (driver !== null) obstacles.push(...absentDriver(files, driver));
    }
    const earlier = recall(files, address);
    // Who moves a function that bind has moved already goes back to where it was at first.
    const former = earlier !== undefined && earlier.to === from ? earlier : { driver: from, driverOverride: override };
    const record = recordPath(address);
    return { address, from, to: driver, writes, record, obstacles, former: { ...former, to: driver }, earlier };
  });
}

/**
 * What giving a function back to its former driver takes. Nothing is changed.
 * @throws as {@link planBind}; SystemError ENOENT also where bind has not moved the function
 */
export function planUnbind(files: MachineFiles, address: string): Plan {
  const fn = new SysfsFunction(files, address);
  const former = recall(files, fn.address);
  const from = fn.driver ?? null;
  if (former === undefined) {
    const detail = `usrdrv bind has not moved it since the machine started; its driver: ${from ?? 'none'}`;
    throw new SystemError('ENOENT', 'unbind', { path: fn.address, detail });
  }
  const { driver, driverOverride } = former;
  const writes = writesFor(fn, driver, driverOverride);
  const obstacles: Obstacle[] = [];
  if (from !== driver) {
    if (from !== null && from !== former.to) {
      const remedy = `echo ${fn.address} > ${driverFolder(from)}/unbind, then again`;
      obstacles.push({ code: 'EBUSY', what: `somebody else has bound it to ${from} since`, remedy });
    }
    obstacles.push(...usesOf(files, fn));
    if (driver !== null) obstacles.push(...absentDriver(files, driver));
  }
  return { address: fn.address, from, to: driver, writes, record: recordPath(fn.address), obstacles };
}

/**
 * Binds functions as planned, one after the other.
 * @throws BindRefused something is in the way with one of them, or a permission is missing; nothing has been changed
 * @throws SystemError the kernel or the driver refuses a write; what was done to that function has been taken back
 */
export function bind(files: MachineFiles, plans: readonly BindPlan[]): void {
  for (const plan of plans) refuse(files, 'bind', plan);
  for (const { address, former, earlier, writes } of plans) {
    if (writes.length === 0) continue;
    remember(files, address, former);
    try {
      perform(files, writes);
    } catch (error) {
      if (earlier === undefined) forget(files, address);
      else remember(files, address, earlier);
      throw error;
    }
  }
}

/**
 * Gives a function back as planned.
 * @throws as {@link bind}
 */
export function unbind(files: MachineFiles, plan: Plan): void {
  refuse(files, 'unbind', plan);
  perform(files, plan.writes);
  forget(files, plan.address);
}

function refuse(files: MachineFiles, syscall: 'bind' | 'unbind', { address, obstacles, writes }: Plan): void {
  const all = [...obstacles, ...permissionObstacles(files, writes)];
  if (all.length > 0) throw new BindRefused(syscall, address, all);
}

function absentDriver(files: MachineFiles, driver: string): Obstacle[] {
  if (files.exists(driverFolder(driver))) return [];
  return [{ code: 'ENODEV', what: `the driver ${driver} is not there`, remedy: `modprobe ${driver}` }];
}
