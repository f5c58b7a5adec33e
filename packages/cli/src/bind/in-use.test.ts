import { expect, test } from 'vitest';
import { FixtureMachine } from '../machine/machine.fixture.ts';
import { SysfsFunction } from '../machine/pci-function.ts';
import { planBind } from './bind.ts';
import { usesOf } from './in-use.ts';

const ADDRESS = '0000:00:04.0';

/** What the function of a machine is used by, in words. */
function uses(prepare: (m: FixtureMachine, folder: string) => void, driver = 'nvme'): string[] {
  using m = new FixtureMachine();
  const folder = m.function(ADDRESS, { driver });
  prepare(m, folder);
  return usesOf(m.files, new SysfsFunction(m.files, ADDRESS)).map(({ what }) => what);
}

function nvme(m: FixtureMachine, folder: string): void {
  m.disk('nvme0n1', `${folder}/nvme/nvme0`, '259:0');
  m.disk('nvme0n1p1', `${folder}/nvme/nvme0/block/nvme0n1`, '259:1');
}

/** A line of proc(5)'s mountinfo. */
function mount(m: FixtureMachine, number: string, on: string, source: string): void {
  m.file(
    '/proc/self/mountinfo',
    `1 1 0:2 / / rw - rootfs rootfs rw\n22 1 ${number} / ${on} rw shared:1 - ext4 ${source} rw`,
  );
}

test('a disk that nobody uses is free', () => {
  expect(uses(nvme)).toEqual([]);
});

test('a mounted partition, whatever its source is called', () => {
  const mounted = uses((m, folder) => {
    nvme(m, folder);
    mount(m, '259:1', '/mnt/a\\040b', '/dev/root');
  });
  expect(mounted).toEqual(['/dev/nvme0n1p1 is mounted on /mnt/a b']);
});

test('a mounted disk by its source, where the file system has a number of its own', () => {
  const mounted = uses((m, folder) => {
    nvme(m, folder);
    m.file('/dev/nvme0n1');
    m.link('/dev/disk/by-uuid/1', '/dev/nvme0n1');
    mount(m, '0:33', '/data', '/dev/disk/by-uuid/1');
  });
  expect(mounted).toEqual(['/dev/nvme0n1 is mounted on /data']);
});

test('a disk of another function is none of this one’s', () => {
  const other = uses((m) => {
    const folder = m.function('0000:00:04.1', { driver: 'nvme' });
    m.disk('nvme1n1', `${folder}/nvme/nvme1`, '259:1');
    mount(m, '259:1', '/data', '/dev/nvme1n1');
  });
  expect(other).toEqual([]);
});

test('the second disk of a btrfs', () => {
  const used = uses((m, folder) => {
    nvme(m, folder);
    m.folder('/sys/fs/btrfs/c0ffee/devices/nvme0n1');
  });
  expect(used).toEqual(['/dev/nvme0n1 is part of the mounted btrfs c0ffee']);
});

test('swap', () => {
  const used = uses((m, folder) => {
    nvme(m, folder);
    m.file('/proc/swaps', 'Filename\tType\tSize\tUsed\tPriority\n/dev/nvme0n1p1   partition\t1\t0\t-2');
  });
  expect(used).toEqual(['/dev/nvme0n1p1 is swap']);
});

test('a device mapper’s device or an array on it', () => {
  const used = uses((m, folder) => {
    nvme(m, folder);
    m.file('/sys/devices/virtual/block/dm-0/dm/name', 'vg-home');
    m.link('/sys/class/block/dm-0', '/sys/devices/virtual/block/dm-0');
    m.folder(`${folder}/nvme/nvme0/block/nvme0n1/block/nvme0n1p1/holders/dm-0`);
    m.folder(`${folder}/nvme/nvme0/block/nvme0n1/holders/md127`);
  });
  expect(used).toEqual(['/dev/nvme0n1 is used by md127', '/dev/nvme0n1p1 is used by dm-0 (vg-home)']);
});

test('a namespace with several paths, whose disk is not below the function', () => {
  const used = uses((m, folder) => {
    const subsystem = '/sys/devices/virtual/nvme-subsystem/nvme-subsys0';
    m.folder(`${folder}/nvme/nvme0`);
    m.link(`${subsystem}/nvme0`, `${folder}/nvme/nvme0`);
    m.disk('nvme0n1', subsystem, '259:0');
    mount(m, '259:0', '/data', '/dev/nvme0n1');
  });
  expect(used).toEqual(['/dev/nvme0n1 is mounted on /data']);
});

test.each([
  ['0x1003', ['the network interface eth0 is up']],
  ['0x1002', []],
])('a network interface with flags %s', (flags, expected) => {
  const used = uses((m, folder) => {
    m.file(`${folder}/net/eth0/flags`, flags);
    m.link('/sys/class/net/eth0', `${folder}/net/eth0`);
    m.file('/sys/class/net/bonding_masters');
  }, 'e1000');
  expect(used).toEqual(expected);
});

test('a network interface in a bond or a bridge', () => {
  const used = uses((m, folder) => {
    m.file(`${folder}/net/eth0/flags`, '0x1002');
    m.link('/sys/class/net/eth0', `${folder}/net/eth0`);
    m.text(`${folder}/net/eth0/master`, '../../../../virtual/net/br0');
  }, 'e1000');
  expect(used).toEqual(['the network interface eth0 is part of br0']);
});

function console(m: FixtureMachine, name: string, bound: boolean): void {
  m.file('/sys/class/vtconsole/vtcon0/name', '(S) dummy device');
  m.file('/sys/class/vtconsole/vtcon0/bind', bound ? '0' : '1');
  m.file('/sys/class/vtconsole/vtcon1/name', name);
  m.file('/sys/class/vtconsole/vtcon1/bind', bound ? '1' : '0');
}

test.each([
  [true, ['the console (M) frame buffer device is on it']],
  [false, []],
])('a framebuffer with the console bound: %s', (bound, expected) => {
  const used = uses((m, folder) => {
    m.folder(`${folder}/graphics/fb0`);
    m.link('/sys/class/graphics/fb0', `${folder}/graphics/fb0`);
    console(m, '(M) frame buffer device', bound);
  }, 'bochs-drm');
  expect(used).toEqual(expected);
});

test('the adapter that the machine started with, under a text console or the firmware’s framebuffer', () => {
  const used = uses((m, folder) => {
    m.file(`${folder}/boot_vga`, '1');
    console(m, '(S) VGA+', true);
  }, 'bochs-drm');
  expect(used).toEqual(['the console (S) VGA+ is on it']);
});

test('what the kernel prints its messages to', () => {
  const used = uses((m, folder) => {
    m.link('/sys/class/tty/ttyS4', `${folder}/tty/ttyS4`);
    m.folder(`${folder}/tty/ttyS4`);
    m.file('/proc/consoles', 'ttyS4                -W- (EC p a)    4:68');
  }, 'serial');
  expect(used).toEqual(['ttyS4 is the kernel’s console']);
});

test('a bridge, virtual functions, a program behind usr_pci', () => {
  expect(uses((m, folder) => m.file(`${folder}/class`, '0x060400'), 'pcieport')).toEqual([`${ADDRESS} is a bridge`]);
  expect(uses((m, folder) => m.file(`${folder}/sriov_numvfs`, '0'))).toEqual([]);
  expect(uses((m, folder) => m.file(`${folder}/sriov_numvfs`, '4'))).toEqual(['4 virtual functions of it are there']);
  expect(uses(() => undefined, 'usr_pci')).toEqual(['a program drives it through usr_pci']);
});

test('a program that has a device of it open', () => {
  const used = uses((m, folder) => {
    m.file(`${folder}/uio/uio3/uevent`, 'MAJOR=243\nMINOR=3\nDEVNAME=uio3');
    m.link('/sys/dev/char/243:3', `${folder}/uio/uio3`);
    m.file('/proc/77/comm', 'node');
    m.text('/proc/77/fd/20', '/dev/uio3');
    m.file('/proc/78/comm', 'other');
    m.text('/proc/78/fd/20', '/dev/uio4');
  }, 'uio_pci_generic');
  expect(used).toEqual(['node (process 77) has /dev/uio3 open']);
});

test('a program that has its VFIO group open', () => {
  using m = new FixtureMachine();
  m.driver('uio_pci_generic');
  m.function(ADDRESS, { driver: 'vfio-pci', group: '9' });
  m.file('/proc/77/comm', 'qemu');
  m.text('/proc/77/fd/20', '/dev/vfio/9');
  expect(planBind(m.files, [ADDRESS], 'uio_pci_generic')[0]?.obstacles).toEqual([
    { code: 'EBUSY', what: 'qemu (process 77) has /dev/vfio/9 open', remedy: 'end it, or have it close /dev/vfio/9' },
  ]);
});
