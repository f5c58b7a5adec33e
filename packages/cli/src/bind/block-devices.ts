import { closeSync, constants, openSync, statSync } from 'node:fs';
import type { MachineFiles } from '../machine/machine-files.ts';
import type { SysfsFunction } from '../machine/pci-function.ts';
import type { Obstacle } from './obstacle.ts';

const NVME_SUBSYSTEM = /^(\/sys\/devices\/virtual\/nvme-subsystem\/[^/]+)\//;

/** Who uses the disks of a function and their partitions: file systems, swap, what is stacked on them, or anybody else. */
export function blockDeviceUses(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const disks = files.names('/sys/class/block').filter((name) => isOn(files, fn, name));
  const known = [...mounts(files, disks), ...btrfs(files, disks), ...swaps(files, disks), ...holders(files, disks)];
  // An exclusive open of a disk fails for each of the reasons above too: it is asked for what they do not know.
  return known.length > 0 ? known : claims(files, disks);
}

function isOn(files: MachineFiles, fn: SysfsFunction, name: string): boolean {
  const folder = files.realPath(`/sys/class/block/${name}`);
  if (folder === undefined || fn.carries(folder)) return folder !== undefined;
  // With several paths to a namespace its disk is below the subsystem, which links the controllers.
  const subsystem = NVME_SUBSYSTEM.exec(folder)?.[1];
  if (subsystem === undefined) return false;
  const controllers = files.names(subsystem).filter((each) => /^nvme\d+$/.test(each));
  return controllers.some((each) => fn.carries(files.realPath(`${subsystem}/${each}`)));
}

function mounts(files: MachineFiles, disks: readonly string[]): Obstacle[] {
  // proc(5): id, parent, major:minor, root, mount point, options, optional fields, '-', type, source, options.
  const rows = (files.text('/proc/self/mountinfo') ?? '').split('\n').map((row) => row.split(' '));
  return disks.flatMap((disk) => {
    const number = files.text(`/sys/class/block/${disk}/dev`);
    const row = rows.find((fields) => fields[2] === number || isNode(files, fields[fields.indexOf('-') + 2], disk));
    const on = row?.[4];
    return on === undefined ? [] : [busy(`/dev/${disk} is mounted on ${unescaped(on)}`, `umount ${unescaped(on)}`)];
  });
}

/** A btrfs of several disks names one of them in the table of mounts. */
function btrfs(files: MachineFiles, disks: readonly string[]): Obstacle[] {
  const systems = files.names('/sys/fs/btrfs');
  return disks.flatMap((disk) => {
    const uuid = systems.find((each) => files.names(`/sys/fs/btrfs/${each}/devices`).includes(disk));
    return uuid === undefined ? [] : [busy(`/dev/${disk} is part of the mounted btrfs ${uuid}`, 'umount it')];
  });
}

function swaps(files: MachineFiles, disks: readonly string[]): Obstacle[] {
  const sources = (files.text('/proc/swaps') ?? '').split('\n').map((row) => row.split(/\s/)[0]);
  return disks
    .filter((disk) => sources.some((source) => isNode(files, source, disk)))
    .map((disk) => busy(`/dev/${disk} is swap`, `swapoff /dev/${disk}`));
}

function holders(files: MachineFiles, disks: readonly string[]): Obstacle[] {
  return disks.flatMap((disk) =>
    files.names(`/sys/class/block/${disk}/holders`).map((holder) => {
      const name = files.text(`/sys/class/block/${holder}/dm/name`);
      const who = name === undefined ? holder : `${holder} (${name})`;
      const how = name === undefined ? `stop ${holder}: mdadm --stop /dev/${holder}` : `dmsetup remove ${name}`;
      return busy(`/dev/${disk} is used by ${who}`, how);
    }),
  );
}

/** A disk that somebody has opened for himself alone: a file system in another mount namespace, ZFS, a cache. */
function claims(files: MachineFiles, disks: readonly string[]): Obstacle[] {
  return disks.filter((disk) => isClaimed(files, disk)).map((disk) => busy(`/dev/${disk} is claimed`, 'end its use'));
}

function isClaimed(files: MachineFiles, disk: string): boolean {
  const node = files.path(`/dev/${disk.replaceAll('!', '/')}`);
  try {
    if (!statSync(node).isBlockDevice()) return false;
    // open(2): O_EXCL on a block device is EBUSY where the system uses it.
    closeSync(openSync(node, constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    // Whoever may not ask, or asks an empty drive, has not found a user.
    return error instanceof Error && 'code' in error && error.code === 'EBUSY';
  }
}

function isNode(files: MachineFiles, source: string | undefined, disk: string): boolean {
  if (source?.startsWith('/dev/') !== true) return false;
  const node = `/dev/${disk.replaceAll('!', '/')}`;
  const path = unescaped(source);
  return path === node || files.realPath(path) === node;
}

/** The kernel writes white space and backslashes in octal. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function busy(what: string, remedy: string): Obstacle {
  return { code: 'EBUSY', what, remedy };
}
