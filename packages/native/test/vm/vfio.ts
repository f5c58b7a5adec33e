/**
 * Runs in the guest: vfioBackend on a kernel that has VFIO, with QEMU's edu devices, which it gives to vfio-pci. Prints a line
 * for each check, and `N passed, N failed` at the end.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { vfioBackend } from '@usrdrv/native';

const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const STATUS = 0x24;
const MASK_28 = 0xfff_ffffn;

const checks: Record<string, () => void | Promise<void>> = {
  'V a device is opened, its BAR mapped, memory mapped for it, and its line interrupts': async () => {
    using backend = vfioBackend();
    using device = backend.pci.open(edus()[0] ?? '', { dmaMask: MASK_28 });
    const bar = device.bar(0);
    assert.equal(bar.read32(0), 0x0100_00ed);
    const consistent = device.dma.allocConsistent(8192);
    console.log('  iova', consistent.busAddress.toString(16));
    const irq = device.irq();
    assert.equal(irq.tryRead(), undefined);
    for (let round = 0; round < 3; round++) {
      const read = irq.read();
      await delay(5);
      bar.write32(RAISE, 1);
      assert.equal(await read, 1);
      bar.write32(ACKNOWLEDGE, 1);
    }
    console.log('  line', irq.line, bar.read32(STATUS));
  },
};

let passed = 0;
for (const address of edus()) {
  writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, 'vfio-pci');
  writeFileSync('/sys/bus/pci/drivers_probe', address);
}
const names = Object.keys(checks);
for (const name of names) {
  try {
    await checks[name]?.();
    passed++;
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name}\n  ${error instanceof Error ? error.stack : String(error)}`);
  }
}
console.log(`${passed} passed, ${names.length - passed} failed`);
process.exit();

function edus(): string[] {
  const of = (name: string, file: string) => readFileSync(`/sys/bus/pci/devices/${name}/${file}`, 'utf8').trim();
  return readdirSync('/sys/bus/pci/devices')
    .filter((name) => of(name, 'vendor') === '0x1234' && of(name, 'device') === '0x11e8')
    .sort();
}
