import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { FixtureMachine } from '../machine/machine.fixture.ts';
import type { Check } from './check.ts';
import { checksOf } from './doctor.ts';
import { iommuGroups } from './iommu.ts';

/** A check of a machine, found and remedy in one text. */
function finding(id: string, prepare: (m: FixtureMachine) => void): [Check['state'], string] {
  using m = new FixtureMachine();
  m.file('/proc/sys/kernel/osrelease', '6.1.0-41-amd64');
  prepare(m);
  const check = checksOf(m.files).find((each) => each.id === id);
  if (check === undefined) throw new Error(`no check ${id}`);
  return [check.state, check.remedy === undefined ? check.found : `${check.found} -> ${check.remedy}`];
}

test('of an empty machine everything is missing or not known, and each missing thing has a remedy', () => {
  using m = new FixtureMachine();
  const checks = checksOf(m.files);
  expect(checks.filter(({ state }) => state === 'ok')).toEqual([]);
  expect(checks.filter(({ state, remedy }) => state === 'missing' && remedy === undefined)).toEqual([]);
  expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
});

test.each([
  ['6.1.0-41-amd64', 'x86_64', 'ok', 'Linux 6.1.0-41-amd64, x86_64'],
  ['6.18.44', undefined, 'ok', 'Linux 6.18.44'],
  ['5.10.0-30-amd64', 'x86_64', 'missing', /5\.10.*6\.1 or later/],
  ['6.1.0', 'aarch64', 'missing', /aarch64.*x86-64/],
])('kernel %s on %s is %s', (release, arch, state, text) => {
  const [found, words] = finding('kernel', (m) => {
    m.file('/proc/sys/kernel/osrelease', release);
    if (arch !== undefined) m.file('/proc/sys/kernel/arch', arch);
  });
  expect(found).toBe(state);
  expect(words).toMatch(text);
});

test('an IOMMU is on where there are groups, off where only its table is', () => {
  const table = (m: FixtureMachine) => m.file('/sys/firmware/acpi/tables/DMAR');
  expect(finding('iommu', table)).toEqual([
    'missing',
    expect.stringMatching(/Intel VT-d is there, and off.*intel_iommu=on/),
  ]);
  const on = (m: FixtureMachine) => {
    table(m);
    m.folder('/sys/class/iommu/dmar0');
    m.function('0000:00:04.0', { group: '0' });
    m.function('0000:00:05.0', { group: '1' });
    m.function('0000:00:05.1', { group: '1' });
  };
  expect(finding('iommu', on)).toEqual(['ok', 'Intel VT-d, on: 3 functions in 2 groups']);
});

test('groups are listed with their functions and drivers, by number', () => {
  using m = new FixtureMachine();
  m.function('0000:00:05.0', { group: '10' });
  m.function('0000:00:04.0', { group: '9', driver: 'e1000' });
  m.file('/sys/kernel/iommu_groups/9/type', 'DMA-FQ');
  expect(iommuGroups(m.files)).toEqual([
    { group: '9', type: 'DMA-FQ', functions: [{ address: '0000:00:04.0', driver: 'e1000' }] },
    { group: '10', type: null, functions: [{ address: '0000:00:05.0', driver: null }] },
  ]);
});

test.each([
  [' 16: 0 0 IR-IO-APIC 16-fasteoi edu', undefined, 'ok'],
  [' 16: 0 0 IO-APIC 16-fasteoi edu', 'Y', 'ok'],
  [' 16: 0 0 IO-APIC 16-fasteoi edu', 'N', 'missing'],
])('interrupt remapping from %j and allow_unsafe_interrupts %s is %s', (row, unsafe, state) => {
  const [found] = finding('interrupt-remapping', (m) => {
    m.file('/proc/interrupts', row);
    if (unsafe) m.file('/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts', unsafe);
  });
  expect(found).toBe(state);
});

test('the user-mode driver interface is found by the patch’s file or the module’s', () => {
  expect(finding('usrdrv', (m) => m.file('/proc/irq/0/smp_affinity'))[0]).toBe('missing');
  expect(finding('usrdrv', (m) => m.file('/proc/irq/0/irq'))[0]).toBe('ok');
  expect(finding('usrdrv', (m) => m.file('/dev/usrdrv/pci'))[0]).toBe('ok');
  expect(finding('usrdrv', (m) => m.folder('/sys/module/usrdrv'))).toEqual([
    'missing',
    expect.stringMatching(/loaded.*not there.*devtmpfs/),
  ]);
});

test.each([
  ['CONFIG_VFIO_PCI=m', 'kernel/drivers/vfio/pci/vfio-pci.ko: x', 'modprobe vfio-pci'],
  ['CONFIG_VFIO_PCI=m', '', 'modprobe vfio-pci, whose file is missing: install the kernel’s modules'],
  ['# CONFIG_VFIO_PCI is not set', '', 'a kernel with CONFIG_VFIO_PCI: this one is built without'],
  [undefined, '', 'modprobe vfio-pci, where the kernel has it (CONFIG_VFIO_PCI)'],
])('a driver that is not there, of a kernel with %s', (config, modules, remedy) => {
  const found = finding('vfio', (m) => {
    if (config !== undefined) m.file('/boot/config-6.1.0-41-amd64', config);
    m.file('/lib/modules/6.1.0-41-amd64/modules.dep', modules);
  });
  expect(found).toEqual(['missing', `the driver vfio-pci is not there -> ${remedy}`]);
});

test('the kernel’s own configuration counts before the one in /boot', () => {
  const [, text] = finding('uio', (m) => {
    m.bytes('/proc/config.gz', gzipSync('CONFIG_UIO_PCI_GENERIC=m\n'));
    m.file('/boot/config-6.1.0-41-amd64', '# CONFIG_UIO_PCI_GENERIC is not set');
  });
  expect(text).toContain('modprobe uio_pci_generic');
});

test('VFIO without an IOMMU is called unsafe', () => {
  const found = finding('vfio', (m) => {
    m.driver('vfio-pci');
    m.file('/dev/vfio/vfio');
    m.file('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', 'Y');
  });
  expect(found).toEqual(['ok', expect.stringContaining('UNSAFE')]);
});

test('iommufd is not used, and said not to be where there is nothing else', () => {
  const alone = (m: FixtureMachine) => {
    m.driver('vfio-pci');
    m.file('/dev/iommu');
  };
  expect(finding('vfio', alone)).toEqual([
    'missing',
    expect.stringMatching(/iommufd is not used -> .*CONFIG_VFIO_GROUP/),
  ]);
  const beside = (m: FixtureMachine) => {
    alone(m);
    m.file('/dev/vfio/vfio');
  };
  expect(finding('vfio', beside)).toEqual(['ok', 'vfio-pci and /dev/vfio/vfio']);
});

test('groups and devices for programs are those with a node', () => {
  expect(finding('vfio-groups', () => undefined)).toEqual([
    'missing',
    expect.stringContaining('usrdrv bind ADDRESS --to vfio-pci'),
  ]);
  const bound = (m: FixtureMachine) => {
    m.function('0000:00:04.0', { driver: 'vfio-pci', group: '4' });
    m.function('0000:00:04.1', { driver: 'vfio-pci', group: '4' });
  };
  expect(finding('vfio-groups', bound)).toEqual(['missing', expect.stringMatching(/\/dev\/vfio\/4: ENOENT.*devtmpfs/)]);
  const ready = (m: FixtureMachine) => {
    bound(m);
    m.file('/dev/vfio/4');
  };
  expect(finding('vfio-groups', ready)).toEqual(['ok', '/dev/vfio/4']);
  const uio = (m: FixtureMachine) => {
    m.folder('/sys/class/uio/uio0');
    m.file('/dev/uio0');
  };
  expect(finding('uio-devices', uio)).toEqual(['ok', '/dev/uio0']);
});

const ALL = 'CapEff:\t000001ffffffffff';
const NONE = 'CapEff:\t0000000000000000';

test.each([
  [ALL, '', 'ok', 'how strict is not known'],
  [ALL, 'CONFIG_STRICT_DEVMEM=y\nCONFIG_IO_STRICT_DEVMEM=y', 'ok', 'claimed are refused'],
  [ALL, 'CONFIG_STRICT_DEVMEM=y', 'ok', 'registers open'],
  [ALL, 'CONFIG_DEVMEM=y', 'ok', 'not strict'],
  [NONE, '', 'missing', 'CAP_SYS_RAWIO'],
])('/dev/mem for %j under %j is %s', (status, config, state, text) => {
  const found = finding('dev-mem', (m) => {
    m.file('/dev/mem');
    m.file('/proc/self/status', status);
    if (config !== '') m.file('/boot/config-6.1.0-41-amd64', config);
  });
  expect(found).toEqual([state, expect.stringContaining(text)]);
});

test('capabilities are those in effect', () => {
  expect(finding('capabilities', (m) => m.file('/proc/self/status', 'CapEff:\t0000000000020000'))).toEqual([
    'ok',
    'CAP_SYS_RAWIO',
  ]);
  expect(finding('capabilities', (m) => m.file('/proc/self/status', NONE))[0]).toBe('missing');
});

test.each([
  ['unlimited', NONE, 'ok', 'no limit'],
  ['8388608', NONE, 'ok', '8 MiB -> '],
  ['65536', NONE, 'missing', '0.0625 MiB'],
  ['65536', ALL, 'ok', 'CAP_IPC_LOCK passes over it'],
])('a limit of locked memory of %s with %j is %s', (limit, status, state, text) => {
  const found = finding('memlock', (m) => {
    m.file('/proc/self/limits', `Max locked memory         ${limit}              ${limit}              bytes     `);
    m.file('/proc/self/status', status);
  });
  expect(found).toEqual([state, expect.stringContaining(text)]);
});

test.each([
  ['[none] integrity confidentiality', 'ok', 'none'],
  ['none [integrity] confidentiality', 'missing', 'use VFIO'],
])('lockdown %s is %s', (text, state, words) => {
  const found = finding('lockdown', (m) => m.file('/sys/kernel/security/lockdown', text));
  expect(found).toEqual([state, expect.stringContaining(words)]);
});

test('a file that cannot be read makes its check not known, with the path', () => {
  const [state, text] = finding('interrupt-remapping', (m) => m.folder('/proc/interrupts'));
  expect(state).toBe('not known');
  expect(text).toMatch(/EISDIR.*\/proc\/interrupts/);
});
