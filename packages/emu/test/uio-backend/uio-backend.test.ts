import {
  bindDriver,
  O_RDWR,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  SystemError,
  uioBackend,
} from '@usrdrv/core';
import { ledDriver } from '@usrdrv/drivers';
import { eduDriver } from '@usrdrv/drivers/edu';
import { describe, expect, test } from 'vitest';
import { EduDevice, emulated, LedDevice, Machine } from '../../src/index.ts';
import type { PciDev } from '../../src/kernel/pci-dev.ts';
import type { UioInfo } from '../../src/kernel/uio-info.ts';
import { GenericPciDriver, interruptOf, maskIntx, memoryResources } from '../../src/kernel/uio-pci-generic.ts';
import { caught, code } from '../user-mode-backend/edu-machine.ts';

const EDU = '0000:00:04.0';
const SECOND = '0000:00:05.0';
const MASK = { dmaMask: 0xfff_ffffn };

/** A stub driver with irqcontrol, in place of user space's way through configuration space (N4). */
class StubWithIrqcontrol extends GenericPciDriver {
  readonly name = 'edu_stub';
  readonly told: number[] = [];

  protected info(dev: PciDev): UioInfo {
    return {
      name: 'edu_stub',
      version: '1',
      mem: memoryResources(dev),
      ...interruptOf(dev),
      irqcontrol: (irqOn) => {
        this.told.push(irqOn);
        maskIntx(dev, irqOn === 0);
        return 0;
      },
    };
  }
}

describe.each(['uio', 'iio'] as const)('over %s', (through) => {
  test('edu computes factorials by interrupt, and says that there is no DMA', async () => {
    using backend = emulated({ devices: [new EduDevice()], interface: through });
    using bindings = await bindDriver(backend, eduDriver());
    const [edu] = bindings.bound;
    for (let n = 0; n <= 12; n++) expect(await edu?.instance.factorial(n)).toBe(factorial(n));
    expect(edu?.instance.interrupts).toBe(13);
    expect(await caught(edu?.instance.read(0, 16) ?? Promise.resolve())).toMatchObject({ code: 'ENOSYS' });
  });

  test('the LED port lights its LEDs, and takes each press by an interrupt', async () => {
    const device = new LedDevice();
    using backend = emulated({ devices: [device], interface: through });
    using bindings = await bindDriver(backend, ledDriver);
    const [led] = bindings.bound;
    led?.instance.light(0b1010);
    expect(device.leds).toBe(0b1010);
    for (let press = 1; press <= 3; press++) {
      const waiting = led?.instance.press();
      await backend.clock.sleep(5);
      device.press();
      device.release();
      expect(await waiting).toBe(true);
      expect(led?.instance.interrupts).toBe(press);
    }
    expect(await led?.instance.press({ timeoutMs: 10 })).toBe(false);
  });

  test('what has happened before an open is nobody’s, and a line that was left masked is unmasked', async () => {
    const edu = new EduDevice();
    using backend = emulated({ devices: [edu], interface: through });
    edu.write(0x60, 1, 4);
    backend.machine.kick();
    using device = backend.pci.open(EDU, MASK);
    expect(device.config.read16(PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE).not.toBe(0);
    device.bar(0).write32(0x64, 1);
    using irq = device.irq();
    expect(irq.tryRead()).toBeUndefined();
    device.bar(0).write32(0x60, 1);
    expect(await irq.read()).toBe(1);
  });

  test('two devices on one line are told apart', async () => {
    using backend = emulated({
      devices: [
        { device: new EduDevice(), irq: 16 },
        { device: new EduDevice(), irq: 16 },
      ],
      interface: through,
    });
    using bindings = await bindDriver(backend, eduDriver());
    const results = await Promise.all(bindings.bound.map(({ instance }, index) => instance.factorial(5 + index)));
    expect(results).toEqual([120, 720]);
    expect(code(() => backend.openIrq(16))).toBe('EBUSY');
  });

  test('there is no MSI, and nothing of DMA', () => {
    using backend = emulated({ devices: [new EduDevice()], interface: through });
    expect(backend.supports).toMatchObject({
      msi: false,
      dma: false,
      sharedInterrupts: true,
      masksUntilNextWait: true,
      masksVectors: false,
    });
    using device = backend.pci.open(EDU, MASK);
    expect(code(() => device.irq(0))).toBe('ENOSYS');
    expect(code(() => device.dma.allocUser(1))).toBe('ENOSYS');
    expect(code(() => device.dma.allocConsistent(1))).toBe('ENOSYS');
  });

  test('an unplugged device is ENODEV for who waits, and everything closes', async () => {
    using backend = emulated({ devices: [new EduDevice()], interface: through });
    const device = backend.pci.open(EDU, MASK);
    const irq = device.irq();
    const waits = [irq.read(), irq.poll().then(() => irq.read())];
    backend.machine.pci.unplug(EDU);
    for (const wait of waits) expect(await caught(wait)).toMatchObject({ code: 'ENODEV' });
    expect(code(() => irq.tryRead())).toBe('ENODEV');
    device.close();
    expect(code(() => backend.pci.open(EDU, MASK))).toBe('ENOENT');
    expect(backend.machine.kernel.fileTable.count).toBe(0);
  });
});

describe('uioBackend', () => {
  test('N1 the count is a difference of 32 bits: it wraps', async () => {
    using backend = emulated({ devices: [new EduDevice()], interface: 'uio' });
    const node = backend.machine.kernel.uio.device(0);
    if (node === undefined) throw new Error('no node');
    node.event = 0x7fff_fffe;
    using device = backend.pci.open(EDU, MASK);
    using irq = device.irq();
    node.event = (node.event + 5) | 0;
    expect(irq.tryRead()).toBe(5);
    node.event = -1;
    irq.tryRead();
    node.event = 2;
    expect(await irq.read()).toBe(3);
  });

  test('N4 a driver with irqcontrol is told, and configuration space is left alone', async () => {
    const edu = new EduDevice();
    const machine = new Machine({ devices: [edu] });
    const driver = new StubWithIrqcontrol(machine.kernel.uio, machine.oracle);
    machine.kernel.pciDrivers.register(driver);
    machine.kernel.bindDriver('edu_stub', EDU);
    using backend = uioBackend(machine.kernel);
    using device = backend.pci.open(EDU, MASK);
    using irq = device.irq();
    const read = irq.read();
    const asked = driver.told.length;
    edu.write(0x60, 1, 4);
    machine.kick();
    expect(await read).toBe(1);
    device.bar(0).write32(0x64, 1);
    expect(irq.tryRead()).toBeUndefined();
    expect(driver.told.slice(asked)).toEqual([1]);
  });

  test('whether a driver masks the line as it fires is known of uio_pci_generic alone, by the nodes that are there', () => {
    const machine = new Machine({ devices: [new EduDevice(), new EduDevice()] });
    machine.kernel.pciDrivers.register(new StubWithIrqcontrol(machine.kernel.uio, machine.oracle));
    machine.kernel.bindDriver('uio_pci_generic', SECOND);
    using backend = uioBackend(machine.kernel);
    expect(backend.supports.masksUntilNextWait).toBe(true);
    expect(backend.supports.reasons).not.toHaveProperty('masksUntilNextWait');
    machine.kernel.bindDriver('edu_stub', EDU);
    expect(backend.supports.masksUntilNextWait).toBe(false);
    expect(backend.supports.reasons?.masksUntilNextWait).toBe(
      '0000:00:04.0 is with the UIO driver edu_stub, which may not mask the line as it fires',
    );
    machine.pci.unplug(EDU);
    expect(backend.supports.masksUntilNextWait).toBe(true);
  });

  test('N8 bus mastering is on while the device is open, whatever is closed of it meanwhile', () => {
    using backend = emulated({ devices: [new EduDevice()], interface: 'uio' });
    const device = backend.pci.open(EDU, MASK);
    const master = () => (backend.machine.pci.function(EDU)?.configRead(PCI_COMMAND, 2) ?? 0) & PCI_COMMAND_MASTER;
    device.irq().close();
    backend.openIrq(16).close();
    expect(master()).toBe(PCI_COMMAND_MASTER);
    device.close();
    expect(master()).toBe(0);
  });

  test('a BAR that the node does not map comes from sysfs', () => {
    const attach = () => ({ read: (_at: number, _width: number, bar: number) => 0x10 + bar, write() {} });
    const config = { vendorId: 0x1234, deviceId: 3, classCode: 0xff0000 };
    const bars = [{ size: 16, prefetchable: true }, { size: 8192, is64Bit: true }, undefined, { size: 256 }];
    using backend = emulated({ devices: [{ name: 'wide', config, bars, attach }], interface: 'uio' });
    using device = backend.pci.open(EDU, MASK);
    expect([0, 1, 3].map((bar) => device.bar(bar).read8(0))).toEqual([0x10, 0x11, 0x13]);
    expect([0, 1, 3].map((bar) => device.bar(bar).length)).toEqual([16, 8192, 256]);
    expect(code(() => device.irq())).toBe('ENODEV');
  });

  test('a function without a driver is ENODEV, one that another driver has EBUSY, and the error says what to do', () => {
    const machine = new Machine({ devices: [new EduDevice(), new EduDevice()] });
    using backend = uioBackend(machine.kernel);
    expect(() => backend.pci.open(EDU, MASK)).toThrow(
      "ENODEV: no such device, open '0000:00:04.0' (no driver has it: bind it to uio_pci_generic (usrdrv bind 0000:00:04.0 --to uio_pci_generic))",
    );
    const dev = machine.kernel.pciDevs.get(SECOND);
    if (dev !== undefined) dev.driver = 'snd_edu';
    expect(() => backend.pci.open(SECOND, MASK)).toThrow(/EBUSY.*the driver snd_edu has it/);
    expect(code(() => backend.openIrq(16))).toBe('EBUSY');
    expect(code(() => backend.openIrq(3))).toBe('ENOENT');
  });

  test('without the right to the node it is EACCES', () => {
    using backend = emulated({ devices: [new EduDevice()], interface: 'uio' });
    backend.machine.kernel.process.thread.setuid(1000);
    expect(code(() => backend.pci.open(EDU, MASK))).toBe('EACCES');
    expect(code(() => backend.openIrq(16))).toBe('EACCES');
    expect(backend.machine.kernel.fileTable.count).toBe(0);
  });

  test('a failed allocation leaves nothing open', () => {
    for (let nth = 1; nth < 6; nth++) {
      const machine = new Machine({
        devices: [new EduDevice()],
        oracle: { asksAtSteps: false, choose: (_n, tag) => (armed && tag === 'alloc.fail' && --left === 0 ? 1 : 0) },
      });
      let left = nth;
      let armed = false;
      machine.kernel.bindDriver('uio_pci_generic', EDU);
      const backend = uioBackend(machine.kernel);
      armed = true;
      try {
        backend.pci.open(EDU, MASK).irq();
      } catch (error) {
        expect(error).toBeInstanceOf(SystemError);
      }
      backend.close();
      armed = false;
      expect(machine.kernel.fileTable.count).toBe(0);
      expect(machine.kernel.process.thread.open('/dev/uio0', O_RDWR)).toBe(0);
    }
  });

  test('the 2005 kernel has no UIO', () => {
    expect(() => emulated({ kernel: 'chubb-2.6.11', devices: [new EduDevice()], interface: 'uio' })).toThrow(
      RangeError,
    );
    expect(() => emulated({ interface: 'vfio' as never })).toThrow(RangeError);
  });
});

function factorial(n: number): number {
  return n < 2 ? 1 : n * factorial(n - 1);
}
