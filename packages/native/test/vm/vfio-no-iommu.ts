/**
 * Runs in a guest whose IOMMU is off: VFIO's unsafe mode (V11), with one of QEMU's edu devices. Prints a line for each check,
 * and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ENOTTY, O_RDWR } from '@usrdrv/core';
import { surveyBackends, vfioBackend } from '@usrdrv/native';
import { addon } from '../../src/addon.ts';
import { runChecks } from './checks.ts';
import { ACKNOWLEDGE, RAISE } from './edu-registers.ts';
import { bind, functions, MASK_28 } from './vfio-guest.ts';

const NOIOMMU = 8;
const [EDU = ''] = functions('0x1234', '0x11e8');

writeFileSync('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
await bind(EDU, 'vfio-pci');
await runChecks({
  'V11 without an IOMMU a device is refused unless that is asked for, and said out loud then': async () => {
    using careful = vfioBackend();
    assert.throws(() => careful.pci.open(EDU, { dmaMask: MASK_28 }), /EPERM.*no IOMMU.*noIommu: true/);
    const [survey] = surveyBackends({ device: EDU, only: ['vfio'] });
    assert.match(survey?.shortfall?.reason ?? '', /behind no IOMMU/);

    using backend = vfioBackend({ noIommu: true });
    const warned = once(process, 'warning');
    backend.pci.open(EDU, { dmaMask: MASK_28 }).close();
    const [warning] = await warned;
    assert.match(String(warning), /UnsafeDevice.*all of the machine's memory/);
    assert.notEqual(Number(readFileSync('/proc/sys/kernel/tainted', 'utf8')), 0);
  },

  'V11 registers and interrupts work there, and DMA is ENOSYS': async () => {
    using backend = vfioBackend({ noIommu: true });
    using device = backend.pci.open(EDU, { dmaMask: MASK_28 });
    const bar = device.bar(0);
    for (const vector of [undefined, 0]) {
      using irq = device.irq(vector);
      const read = irq.read();
      await delay(5);
      bar.write32(RAISE, 1);
      assert.equal(await read, 1);
      bar.write32(ACKNOWLEDGE, 1);
    }
    const memory = device.dma.allocUser(1);
    assert.throws(() => device.dma.map(memory, 'to-device'), /ENOSYS/);
    assert.throws(() => device.dma.allocConsistent(1), /ENOSYS/);
    memory.free();
  },

  'V11 MAP_DMA is ENOTTY': () => {
    const calls = addon();
    const container = calls.open('/dev/vfio/vfio', O_RDWR);
    const number = readlinkSync(`/sys/bus/pci/devices/${EDU}/iommu_group`).split('/').at(-1);
    const group = calls.open(`/dev/vfio/noiommu-${number}`, O_RDWR);
    assert.equal(calls.vfioSetContainer(group, container), 0);
    assert.equal(calls.vfioSetIommu(container, NOIOMMU), 0);
    assert.equal(calls.vfioMapDma(container, 3, 0n, 0n, 4096n), -ENOTTY);
    for (const fd of [group, container]) calls.close(fd);
  },
});
await bind(EDU);
process.exit();
