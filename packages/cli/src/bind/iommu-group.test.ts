import { expect, test } from 'vitest';
import { FixtureMachine } from '../machine/machine.fixture.ts';
import { planBind } from './bind.ts';

const ADDRESS = '0000:00:04.0';
const MATE = '0000:00:04.1';

function machine(): FixtureMachine {
  const m = new FixtureMachine();
  for (const driver of ['vfio-pci', 'uio_pci_generic']) m.driver(driver);
  m.function(ADDRESS, { group: '3' });
  return m;
}

function obstacles(
  m: FixtureMachine,
  addresses = [ADDRESS],
  to: 'vfio-pci' | 'uio_pci_generic' = 'vfio-pci',
): string[] {
  return planBind(m.files, addresses, to).flatMap((plan) =>
    plan.obstacles.map(({ what, remedy }) => `${what}: ${remedy}`),
  );
}

test('a group of its own, or with a bridge, a function without a driver or one with VFIO, is free', () => {
  using m = machine();
  expect(obstacles(m)).toEqual([]);
  m.function('0000:00:01.0', { group: '3', driver: 'pcieport', files: { class: '0x060400' } });
  m.function('0000:00:04.2', { group: '3', driver: 'vfio-pci' });
  m.function('0000:00:04.3', { group: '3' });
  expect(obstacles(m)).toEqual([]);
});

test('a group that is shared with a function of a kernel driver: both have to be named', () => {
  using m = machine();
  m.function(MATE, { group: '3', driver: 'snd_hda_intel' });
  expect(obstacles(m)).toEqual([
    `IOMMU group 3 is shared with ${MATE}, which snd_hda_intel drives: ` +
      `a group goes to programs whole: usrdrv bind ${ADDRESS} ${MATE} --to vfio-pci`,
  ]);
  expect(obstacles(m, [ADDRESS, MATE])).toEqual([]);
  expect(obstacles(m, [ADDRESS], 'uio_pci_generic')).toEqual([]);
});

test('a group that is shared with a function in use: its use has to end', () => {
  using m = machine();
  const folder = m.function(MATE, { group: '3', driver: 'e1000' });
  m.file(`${folder}/net/eth0/flags`, '0x1');
  m.link('/sys/class/net/eth0', `${folder}/net/eth0`);
  expect(obstacles(m)).toEqual([
    `IOMMU group 3 is shared with ${MATE}, which e1000 drives; the network interface eth0 is up: ` +
      'a group goes to programs whole: ip link set eth0 down',
  ]);
  expect(obstacles(m, [ADDRESS, MATE])).toEqual(['the network interface eth0 is up: ip link set eth0 down']);
});

test('without an IOMMU vfio-pci is refused, unless it is told to do without', () => {
  using m = new FixtureMachine();
  m.driver('vfio-pci');
  m.function(ADDRESS);
  expect(obstacles(m)[0]).toMatch(/is in no IOMMU group.*--to uio_pci_generic/);
  m.file('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', 'Y');
  expect(obstacles(m)).toEqual([]);
});
