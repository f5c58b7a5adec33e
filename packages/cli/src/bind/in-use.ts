import { SystemError } from '@usrdrv/core';
import type { MachineFiles } from '../machine/machine-files.ts';
import type { SysfsFunction } from '../machine/pci-function.ts';
import { blockDeviceUses } from './block-devices.ts';
import type { Obstacle } from './obstacle.ts';

/** include/uapi/linux/if.h */
const IFF_UP = 1;
const BRIDGE = 0x06;

/** Who would lose something if the function lost its driver now. */
export function usesOf(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const uses = [bridge, blockDeviceUses, interfaces, consoles, virtualFunctions, usrPci];
  const known = uses.flatMap((use) => use(files, fn));
  // A mounted disk and the like are open too, and the reasons above say more.
  return known.length > 0 ? known : openNodes(files, fn);
}

function bridge(_: MachineFiles, fn: SysfsFunction): Obstacle[] {
  if (fn.classCode >>> 16 !== BRIDGE) return [];
  return [{ code: 'EINVAL', what: `${fn.address} is a bridge`, remedy: 'bind the functions behind it' }];
}

function interfaces(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const names = files.names('/sys/class/net').filter((name) => fn.carries(files.realPath(`/sys/class/net/${name}`)));
  return names.flatMap((name) => {
    if (Number(files.text(`/sys/class/net/${name}/flags`) ?? 0) & IFF_UP) {
      return [busy(`the network interface ${name} is up`, `ip link set ${name} down`)];
    }
    const master = files.link(`/sys/class/net/${name}/master`)?.split('/').at(-1);
    if (master === undefined) return [];
    return [busy(`the network interface ${name} is part of ${master}`, `ip link set ${name} nomaster`)];
  });
}

/** A text console or a framebuffer's on the function, and what the kernel prints its messages to. */
function consoles(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const ttys = (files.text('/proc/consoles') ?? '').split('\n').map((row) => row.split(/\s/)[0] ?? '');
  const printing = ttys.filter((tty) => tty !== '' && fn.carries(files.realPath(`/sys/class/tty/${tty}`)));
  const uses = printing.map((tty) => busy(`${tty} is the kernel’s console`, 'boot with another console='));

  const framebuffers = files
    .names('/sys/class/graphics')
    .filter((name) => /^fb\d+$/.test(name) && fn.carries(files.realPath(`/sys/class/graphics/${name}`)));
  // A framebuffer of the firmware’s belongs to no function, and lies in the memory of this one.
  if (framebuffers.length === 0 && files.text(fn.file('boot_vga')) !== '1') return uses;
  for (const name of files.names('/sys/class/vtconsole')) {
    const about = files.text(`/sys/class/vtconsole/${name}/name`) ?? '';
    if (about.includes('dummy') || files.text(`/sys/class/vtconsole/${name}/bind`) !== '1') continue;
    uses.push(busy(`the console ${about} is on it`, `echo 0 > /sys/class/vtconsole/${name}/bind`));
  }
  return uses;
}

function virtualFunctions(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const count = Number(files.text(fn.file('sriov_numvfs')) ?? 0);
  if (count === 0) return [];
  return [busy(`${count} virtual functions of it are there`, `echo 0 > ${fn.file('sriov_numvfs')}`)];
}

/** The driver that usr_pci_open binds a function to is there as long as the descriptor. */
function usrPci(_: MachineFiles, fn: SysfsFunction): Obstacle[] {
  return fn.driver === 'usr_pci' ? [busy('a program drives it through usr_pci', 'end that program')] : [];
}

/** Which programs have a node of the function open, or its group. Those of others are seen by root only. */
function openNodes(files: MachineFiles, fn: SysfsFunction): Obstacle[] {
  const nodes = new Set(nodesOf(files, fn));
  if (nodes.size === 0) return [];
  return files
    .names('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      const node = descriptors(files, pid).find((path) => nodes.has(path));
      if (node === undefined) return [];
      const who = `${files.text(`/proc/${pid}/comm`) ?? '?'} (process ${pid})`;
      return [busy(`${who} has ${node} open`, `end it, or have it close ${node}`)];
    });
}

function nodesOf(files: MachineFiles, fn: SysfsFunction): string[] {
  const { group } = fn;
  const nodes =
    fn.driver === 'vfio-pci' && group !== undefined ? [`/dev/vfio/${group}`, `/dev/vfio/noiommu-${group}`] : [];
  for (const kind of ['char', 'block']) {
    for (const number of files.names(`/sys/dev/${kind}`)) {
      const folder = files.realPath(`/sys/dev/${kind}/${number}`);
      if (folder === undefined || !fn.carries(folder)) continue;
      const name = /^DEVNAME=(.*)$/m.exec(files.text(`${folder}/uevent`) ?? '')?.[1];
      if (name !== undefined) nodes.push(`/dev/${name}`);
    }
  }
  return nodes;
}

function descriptors(files: MachineFiles, pid: string): string[] {
  try {
    return files.names(`/proc/${pid}/fd`).flatMap((fd) => files.link(`/proc/${pid}/fd/${fd}`) ?? []);
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'EACCES' || error.code === 'EPERM')) return [];
    throw error;
  }
}

function busy(what: string, remedy: string): Obstacle {
  return { code: 'EBUSY', what, remedy };
}
