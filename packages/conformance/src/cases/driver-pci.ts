import { PCI_COMMAND, PCI_COMMAND_MASTER, PciAddress, type PciDevice } from '@usrdrv/core';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';
import { deviceWrites } from '../edu-registers.ts';
import { EDU_DMA_MASK } from '../usr-pci-calls.ts';
import { WRONG_NUMBERS } from '../wrong.ts';

/** PciBus, PciDevice and ConfigSpace: finding a function, opening it, its registers of configuration. */
export const driverPciCases: readonly Case[] = [
  {
    id: 'PciBus',
    level: 'driver',
    title: 'scan yields every function by ascending address, with what a driver matches by',
    needs: ['edu'],
    run(t) {
      const found = [...t.backend.pci.scan()];
      const addresses = found.map(({ address }) => address);
      t.equal(addresses.map(String), addresses.toSorted(PciAddress.compare).map(String), 'order');
      const edu = found.find(({ address }) => String(address) === String(t.edu.address));
      t.equal([edu?.vendorId, edu?.deviceId, edu?.classCode], [0x1234, 0x11e8, 0x00ff00], 'edu');
      t.equal([...t.backend.pci.scan()].length, found.length, 'functions in a second scan');
    },
  },
  {
    id: 'PciBus',
    level: 'driver',
    title: 'a function is opened by its address or by its text, and is a bus master then',
    needs: ['edu'],
    run(t) {
      for (const address of [t.edu.address, String(t.edu.address), String(t.edu.address).slice(5)]) {
        const device = t.backend.pci.open(address, { dmaMask: EDU_DMA_MASK });
        t.equal(String(device.address), String(t.edu.address), 'address');
        t.ok((device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER) !== 0, 'bus master');
        device.close();
      }
    },
  },
  {
    id: 'PciBus',
    level: 'driver',
    title: 'what is no address is a TypeError, what is no mask a RangeError',
    needs: ['edu'],
    run(t) {
      for (const address of ['', 'edu', '00:04', '0000:00:04.0 ', 4, undefined, null, {}]) {
        t.throws('TypeError', `address ${String(address)}`, () =>
          t.backend.pci.open(address as string, { dmaMask: EDU_DMA_MASK }),
        );
      }
      t.throws('RangeError', 'function 8', () => t.backend.pci.open('00:04.8', { dmaMask: EDU_DMA_MASK }));
      for (const dmaMask of [-1n, 1n << 64n, 0xfff, '1', undefined]) {
        t.throws('RangeError', `mask ${String(dmaMask)}`, () =>
          t.backend.pci.open(t.edu.address, { dmaMask: dmaMask as bigint }),
        );
      }
      openEdu(t);
    },
  },
  {
    id: 'PciBus',
    level: 'driver',
    title: 'an empty slot is ENOENT, an open function EBUSY, a mask that cannot be met EIO',
    needs: ['edu'],
    run(t) {
      t.throws('ENOENT', 'an empty slot', () => t.backend.pci.open('0000:00:1f.7', { dmaMask: EDU_DMA_MASK }));
      t.throws('ENOENT', 'an absent domain', () => t.backend.pci.open('00ff:00:04.0', { dmaMask: EDU_DMA_MASK }));
      if (t.backend.supports.dma) {
        t.throws('EIO', 'a mask of one bit', () => t.backend.pci.open(t.edu.address, { dmaMask: 1n }));
      }
      const device = openEdu(t);
      t.throws('EBUSY', 'an open function', () => openEdu(t));
      device.close();
      openEdu(t).close();
    },
  },
  {
    id: 'PciBus',
    level: 'driver',
    title: 'without CAP_SYS_RAWIO opening is EPERM',
    kernel: 'usrdrv-6.1',
    needs: ['edu', 'credentials', 'usr-pci'],
    run(t) {
      t.result(t.thread.capset({ CAP_SYS_RAWIO: false }), 0, 'capset');
      t.throws('EPERM', 'open', () => openEdu(t));
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'bar is the same region each time, until it is closed',
    needs: ['edu'],
    run(t) {
      const device = openEdu(t);
      const region = device.bar(0);
      t.equal(device.bar(0), region, 'the second bar(0)');
      region.close();
      t.equal(device.bar(0).read32(0), 0x0100_00ed, 'the identification through a third');
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'an index that no function has is a RangeError, one that this function has not ENODEV',
    needs: ['edu'],
    run(t) {
      const device = openEdu(t);
      for (const index of [...WRONG_NUMBERS, 6]) {
        t.throws('RangeError', `BAR ${String(index)}`, () => device.bar(index as number));
      }
      for (const index of [1, 2, 3, 4, 5]) t.throws('ENODEV', `BAR ${index}`, () => device.bar(index));
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'its interrupt is opened once at a time',
    needs: ['edu'],
    run(t) {
      const device = openEdu(t);
      const irq = t.irqOf(device);
      t.throws('EBUSY', 'the second irq()', () => t.irqOf(device));
      irq.close();
      t.irqOf(device);
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'a vector that is no vector is a RangeError, one that it has not ENOSPC',
    needs: ['edu', 'msi'],
    run(t) {
      const device = openEdu(t);
      for (const vector of WRONG_NUMBERS) {
        t.throws('RangeError', `vector ${String(vector)}`, () => device.irq(vector as number));
      }
      t.throws('ENOSPC', 'vector 1 of 1', () => device.irq(1));
      const msi = device.irq(0);
      t.throws('EBUSY', 'vector 0 again', () => device.irq(0));
      t.throws('EBUSY', 'INTx beside MSI', () => device.irq());
      msi.close();
      device.irq().close();
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'a backend without MSI says ENOSYS',
    kernel: 'chubb-2.6.11',
    needs: ['edu'],
    run(t) {
      t.equal(t.backend.supports.msi, false, 'supports.msi');
      t.throws('ENOSYS', 'vector 0', () => openEdu(t).irq(0));
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'without the bus master bit a device reaches no memory',
    needs: ['edu', 'dma'],
    async run(t) {
      const device = openEdu(t);
      const memory = device.dma.allocUser(4096);
      memory.bytes.fill(0x11);
      const [segment] = device.dma.map(memory, 'bidirectional').segments;
      if (segment === undefined) throw new Error('the mapping has no segment');
      const command = device.config.read16(PCI_COMMAND);
      device.config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
      await deviceWrites(t, device.bar(0), segment.busAddress, 64);
      t.equal(memory.bytes.subarray(0, 64), new Uint8Array(64).fill(0x11), 'the memory');
      device.config.write16(PCI_COMMAND, command);
      await deviceWrites(t, device.bar(0), segment.busAddress, 64);
      t.ok(!memory.bytes.subarray(0, 64).includes(0x11), 'with the bit the device writes it');
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'closing takes everything with it, once',
    needs: ['edu'],
    async run(t) {
      const device = openEdu(t);
      const [region, irq] = [device.bar(0), t.irqOf(device)];
      device.close();
      device.close();
      device[Symbol.dispose]();
      t.throws('EBADF', 'bar', () => device.bar(0));
      t.throws('EBADF', 'irq', () => t.irqOf(device));
      t.throws('EBADF', 'a register', () => region.read32(0));
      t.throws('EBADF', 'configuration space', () => device.config.read16(0));
      t.throws('EBADF', 'its interrupt', () => irq.tryRead());
      t.throws('EBADF', 'allocConsistent', () => device.dma.allocConsistent(4096));
      t.irqOf(openEdu(t)).close();
    },
  },
  {
    id: 'PciDevice',
    level: 'driver',
    title: 'closing takes what is mapped for DMA with it',
    needs: ['edu', 'dma'],
    async run(t) {
      const device = openEdu(t);
      const consistent = device.dma.allocConsistent(4096);
      const memory = device.dma.allocUser(4096);
      device.dma.map(memory, 'bidirectional');
      device.close();
      t.throws('EBADF', 'map', () => device.dma.map(memory, 'to-device'));
      t.equal(consistent.bytes.length, 0, 'bytes of consistent memory');
      memory.free();
      openEdu(t).close();
    },
  },
  {
    id: 'ConfigSpace',
    level: 'driver',
    title: 'reads of each width agree, little-endian',
    needs: ['edu'],
    run(t) {
      const { config } = openEdu(t);
      t.equal(config.read32(0), 0x11e8_1234, '32 bits');
      t.equal([config.read16(0), config.read16(2)], [0x1234, 0x11e8], '16 bits');
      t.equal(
        [0, 1, 2, 3].map((offset) => config.read8(offset)),
        [0x34, 0x12, 0xe8, 0x11],
        '8 bits',
      );
    },
  },
  {
    id: 'ConfigSpace',
    level: 'driver',
    title: 'a write changes what can be written, in its own width',
    needs: ['edu'],
    run(t) {
      const { config } = openEdu(t);
      const before = config.read32(0x3c);
      config.write8(0x3c, 0x5a);
      t.equal(config.read32(0x3c), ((before & ~0xff) | 0x5a) >>> 0, 'the interrupt line, and its neighbours');
      config.write16(0, 0xffff);
      t.equal(config.read16(0), 0x1234, 'the vendor, which is read-only');
    },
  },
  {
    id: 'ConfigSpace',
    level: 'driver',
    title: 'bad offsets and values are RangeErrors, and change nothing',
    needs: ['edu'],
    run(t) {
      const { config } = openEdu(t);
      t.ok(config.length === 256 || config.length === 4096, 'length is 256 or 4096');
      const before = config.read32(0x3c);
      for (const offset of [...WRONG_NUMBERS, config.length]) {
        t.throws('RangeError', `read8 at ${String(offset)}`, () => config.read8(offset as number));
        t.throws('RangeError', `write32 at ${String(offset)}`, () => config.write32(offset as number, 0));
      }
      for (const offset of [1, 2, 3, config.length - 2]) {
        t.throws('RangeError', `read32 at ${offset}`, () => config.read32(offset));
      }
      t.throws('RangeError', 'read16 at 1', () => config.read16(1));
      for (const value of [...WRONG_NUMBERS, 0x100]) {
        t.throws('RangeError', `write8 of ${String(value)}`, () => config.write8(0x3c, value as number));
      }
      t.throws('RangeError', 'write16 of 65536', () => config.write16(0x3c, 0x1_0000));
      t.equal(config.read32(0x3c), before, 'the register afterwards');
    },
  },
];

export function openEdu(t: Context): PciDevice {
  return t.backend.pci.open(t.edu.address, { dmaMask: EDU_DMA_MASK });
}
