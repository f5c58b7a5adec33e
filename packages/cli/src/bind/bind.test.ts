import { SystemError } from '@usrdrv/core';
import { expect, test } from 'vitest';
import { FixtureMachine } from '../machine/machine.fixture.ts';
import { bind, planBind, planUnbind, unbind } from './bind.ts';
import { BindRefused } from './obstacle.ts';
import { shellLine } from './writes.ts';

const EDU = '0000:00:04.0';
const SYSFS = `/sys/bus/pci/devices/${EDU}`;
const RECORD = `/run/usrdrv/bind/${EDU}.json`;

function machine(driver?: string, group?: string): FixtureMachine {
  const made = new FixtureMachine();
  for (const each of ['vfio-pci', 'uio_pci_generic']) made.driver(each);
  made.function(EDU, { ...(driver === undefined ? {} : { driver }), ...(group === undefined ? {} : { group }) });
  return made;
}

function lines(plans: ReturnType<typeof planBind>): string[] {
  return plans.flatMap(({ writes }) => writes.map(shellLine));
}

test('a plan is the exact writes: the override first, then off the driver, then onto the other', () => {
  using m = machine('e1000', '5');
  expect(lines(planBind(m.files, [EDU], 'vfio-pci'))).toEqual([
    `echo vfio-pci > ${SYSFS}/driver_override`,
    `echo ${EDU} > /sys/bus/pci/drivers/e1000/unbind`,
    `echo ${EDU} > /sys/bus/pci/drivers/vfio-pci/bind`,
  ]);
  expect(m.read(`${SYSFS}/driver_override`)).toBe('(null)\n');
  expect(m.files.exists(RECORD)).toBe(false);
});

test('without --to it is vfio-pci in an IOMMU group, and uio_pci_generic in none', () => {
  using grouped = machine(undefined, '5');
  expect(planBind(grouped.files, ['00:04.0'])[0]?.to).toBe('vfio-pci');
  using alone = machine();
  expect(planBind(alone.files, ['00:04.0'])[0]?.to).toBe('uio_pci_generic');
});

test('bind writes what was planned and remembers the driver, and unbind gives it back', () => {
  using m = machine('e1000', '5');
  bind(m.files, planBind(m.files, [EDU], 'vfio-pci'));
  expect(m.read(`${SYSFS}/driver_override`)).toBe('vfio-pci\n');
  expect(m.read('/sys/bus/pci/drivers/e1000/unbind')).toBe(`${EDU}\n`);
  expect(m.read('/sys/bus/pci/drivers/vfio-pci/bind')).toBe(`${EDU}\n`);
  expect(JSON.parse(m.read(RECORD))).toEqual({ driver: 'e1000', driverOverride: null, to: 'vfio-pci' });

  m.bound(EDU, 'vfio-pci');
  const plan = planUnbind(m.files, EDU);
  expect(plan.writes.map(shellLine)).toEqual([
    `echo > ${SYSFS}/driver_override`,
    `echo ${EDU} > /sys/bus/pci/drivers/vfio-pci/unbind`,
    `echo ${EDU} > /sys/bus/pci/drivers/e1000/bind`,
  ]);
  unbind(m.files, plan);
  expect(m.read('/sys/bus/pci/drivers/e1000/bind')).toBe(`${EDU}\n`);
  expect(m.files.exists(RECORD)).toBe(false);
});

test('a function without a driver goes back to none, one with an override gets it back', () => {
  using m = machine();
  m.file(`${SYSFS}/driver_override`, 'pci-stub');
  bind(m.files, planBind(m.files, [EDU], 'uio_pci_generic'));
  m.bound(EDU, 'uio_pci_generic');
  const plan = planUnbind(m.files, EDU);
  expect(plan.writes.map(shellLine)).toEqual([
    `echo pci-stub > ${SYSFS}/driver_override`,
    `echo ${EDU} > /sys/bus/pci/drivers/uio_pci_generic/unbind`,
  ]);
});

test('--to none takes the driver and the override away', () => {
  using m = machine('e1000');
  expect(lines(planBind(m.files, [EDU], 'none'))).toEqual([`echo ${EDU} > /sys/bus/pci/drivers/e1000/unbind`]);
  m.file(`${SYSFS}/driver_override`, 'e1000');
  expect(lines(planBind(m.files, [EDU], 'none'))).toEqual([
    `echo > ${SYSFS}/driver_override`,
    `echo ${EDU} > /sys/bus/pci/drivers/e1000/unbind`,
  ]);
});

test('bound twice it still goes back to the first driver', () => {
  using m = machine('e1000', '5');
  bind(m.files, planBind(m.files, [EDU], 'vfio-pci'));
  m.bound(EDU, 'vfio-pci');
  bind(m.files, planBind(m.files, [EDU], 'uio_pci_generic'));
  m.bound(EDU, 'uio_pci_generic');
  expect(planUnbind(m.files, EDU).to).toBe('e1000');
});

test('what is bound there already is left alone, and not remembered', () => {
  using m = machine('vfio-pci', '5');
  m.file(`${SYSFS}/driver_override`, 'vfio-pci');
  const plans = planBind(m.files, [EDU], 'vfio-pci');
  expect(plans[0]?.writes).toEqual([]);
  bind(m.files, plans);
  expect(m.files.exists(RECORD)).toBe(false);
});

test('where the driver refuses the function, everything is taken back', () => {
  using m = machine('e1000', '5');
  m.folder('/sys/bus/pci/drivers/picky/bind');
  m.folder('/sys/bus/pci/drivers/picky/unbind');
  const [plan] = planBind(m.files, [EDU], 'vfio-pci');
  if (plan === undefined) throw new Error('no plan');
  const writes = plan.writes.map((write) => ({ ...write, path: write.path.replace('vfio-pci', 'picky') }));
  expect(() => bind(m.files, [{ ...plan, writes }])).toThrow(/EISDIR.*picky\/bind.*everything is as it was/);
  expect(m.read(`${SYSFS}/driver_override`)).toBe('\n');
  expect(m.read('/sys/bus/pci/drivers/e1000/bind')).toBe(`${EDU}\n`);
  expect(m.files.exists(RECORD)).toBe(false);
});

test('what could not be taken back is said', () => {
  using m = machine('e1000', '5');
  const [plan] = planBind(m.files, [EDU], 'vfio-pci');
  if (plan === undefined) throw new Error('no plan');
  const [override, off, on] = plan.writes;
  if (override === undefined || off === undefined || on === undefined) throw new Error('three writes');
  const gone = { path: '/sys/bus/pci/drivers/gone/bind', value: EDU };
  m.folder('/sys/bus/pci/drivers/picky/bind');
  const broken = [override, { ...off, undo: gone }, { ...on, path: '/sys/bus/pci/drivers/picky/bind' }];
  expect(() => bind(m.files, [{ ...plan, writes: broken }])).toThrow(
    `not taken back: echo ${EDU} > /sys/bus/pci/drivers/gone/bind`,
  );
});

test('a driver that is not there is ENODEV, with the modprobe', () => {
  using m = new FixtureMachine();
  m.function(EDU, { group: '5' });
  const plans = planBind(m.files, [EDU], 'vfio-pci');
  expect(() => bind(m.files, plans)).toThrow(BindRefused);
  expect(() => bind(m.files, plans)).toThrow(/ENODEV.*the driver vfio-pci is not there: modprobe vfio-pci/);
  expect(m.files.exists(RECORD)).toBe(false);
});

test('one obstacle among several functions, and none is touched', () => {
  using m = machine('e1000', '5');
  m.function('0000:00:05.0', { driver: 'e1000', group: '6', files: { class: '0x060400' } });
  expect(() => bind(m.files, planBind(m.files, [EDU, '0000:00:05.0'], 'vfio-pci'))).toThrow(
    /0000:00:05\.0 is a bridge/,
  );
  expect(m.read(`${SYSFS}/driver_override`)).toBe('(null)\n');
});

test('no such function is ENOENT, and no address is called wrongly', () => {
  using m = machine();
  expect(() => planBind(m.files, ['0000:00:1f.7'])).toThrow(/ENOENT.*0000:00:1f\.7.*no such PCI function/);
  expect(() => planUnbind(m.files, '0000:00:1f.7')).toThrow(SystemError);
  expect(() => planBind(m.files, ['edu'])).toThrow(TypeError);
});

test('unbind of what bind has not moved is ENOENT, and says what drives it', () => {
  using m = machine('e1000');
  expect(() => planUnbind(m.files, EDU)).toThrow(/ENOENT.*usrdrv bind has not moved it.*its driver: e1000/);
});

test('unbind refuses what somebody else has bound since, and forgets what is back already', () => {
  using m = machine('e1000', '5');
  bind(m.files, planBind(m.files, [EDU], 'vfio-pci'));
  m.bound(EDU, 'pci-stub');
  expect(() => unbind(m.files, planUnbind(m.files, EDU))).toThrow(
    /EBUSY.*somebody else has bound it to pci-stub since/,
  );
  m.bound(EDU, 'e1000');
  const plan = planUnbind(m.files, EDU);
  expect(plan.writes.map(shellLine)).toEqual([`echo > ${SYSFS}/driver_override`]);
  unbind(m.files, plan);
  expect(m.files.exists(RECORD)).toBe(false);
});

test.each(['', '{', '[]', '{"driver":1,"driverOverride":null,"to":"x"}'])(
  'a record of %j is EIO with its path',
  (text) => {
    using m = machine('vfio-pci');
    m.file(RECORD, text);
    expect(() => planUnbind(m.files, EDU)).toThrow(new RegExp(`EIO.*${RECORD}`));
  },
);

test('a place that takes no record is an error before anything is written', () => {
  using m = machine('e1000', '5');
  m.file('/run/usrdrv');
  expect(() => bind(m.files, planBind(m.files, [EDU], 'vfio-pci'))).toThrow(/nothing has been changed/);
  expect(m.read(`${SYSFS}/driver_override`)).toBe('(null)\n');
});
