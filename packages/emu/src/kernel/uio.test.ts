import {
  EAGAIN,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOSYS,
  ESRCH,
  F_GETOWN,
  F_SETFL,
  F_SETOWN,
  MAP_SHARED,
  O_ASYNC,
  O_NONBLOCK,
  O_RDWR,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  POLLIN,
  POLLRDNORM,
  PROT_READ,
  PROT_WRITE,
  SIGIO,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import type { DeviceModel } from '../devices/device.ts';
import { EduDevice } from '../devices/edu.ts';
import { IRQ_HANDLED } from './irq-desc.ts';
import { ADDRESS, SECOND, UioSetup } from './uio.fixture.ts';
import { UioDevice } from './uio-device.ts';
import type { UioInfo } from './uio-info.ts';

const NULL = virtualAddress(0n);
const RW = PROT_READ | PROT_WRITE;

describe('UIO', () => {
  test('N1 a read returns the count of all events, once it is news to this open file', () => {
    const s = new UioSetup();
    const fd = s.open();
    expect(s.read(fd)).toBe(-EAGAIN);
    s.interrupt();
    s.interrupt();
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(2);
    expect(s.read(fd)).toBe(-EAGAIN);
    s.interrupt();
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(3);
  });

  test('N1 a length other than 4 is EINVAL, whether there is a count or not', () => {
    const s = new UioSetup();
    const fd = s.open();
    for (const length of [0, 1, 3, 5, 8, 4096]) expect(s.read(fd, length)).toBe(-EINVAL);
    s.interrupt();
    for (const length of [0, 1, 3, 5, 8, 4096]) expect(s.read(fd, length)).toBe(-EINVAL);
    expect(s.read(fd)).toBe(4);
  });

  test('N1 a device without a line is EIO, for read and for write, before anything else is asked', () => {
    const s = new UioSetup();
    s.machine.kernel.uio.register({ name: 'silent', version: '1', mem: [], irqcontrol: () => 0 });
    const fd = s.open(O_RDWR | O_NONBLOCK, '/dev/uio1');
    expect(s.read(fd)).toBe(-EIO);
    expect(s.write(fd, 1)).toBe(-EIO);
  });

  test('N1 EFAULT takes nothing', () => {
    const s = new UioSetup();
    const fd = s.open();
    s.interrupt();
    expect(s.thread.read(fd, virtualAddress(4096n), 4)).toBe(-EFAULT);
    expect(s.read(fd)).toBe(4);
  });

  test('N1 a blocking read sleeps until the next event', async () => {
    const s = new UioSetup();
    const fd = s.open(O_RDWR);
    const read = s.read(fd);
    expect(await s.sleeps(read)).toBe(true);
    s.raise();
    expect(await read).toBe(4);
    expect(s.count).toBe(1);
  });

  test('N1 the count is signed, and wraps', () => {
    const s = new UioSetup();
    const device = s.machine.kernel.uio.device(0);
    if (device === undefined) throw new Error('no device');
    device.event = 0x7fff_ffff;
    const fd = s.open();
    s.interrupt();
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(-0x8000_0000);
    expect(s.text('/sys/class/uio/uio0/event')).toBe('2147483648\n');
  });

  test('N2 N5 each open has a snapshot of its own, taken at open; dup shares one', () => {
    const s = new UioSetup();
    const first = s.open();
    s.interrupt();
    const second = s.open();
    const copy = s.thread.dup(first);
    expect(s.read(second)).toBe(-EAGAIN);
    expect(s.read(first)).toBe(4);
    expect(s.read(copy)).toBe(-EAGAIN);
    s.interrupt();
    expect([s.read(copy), s.read(first), s.read(second)]).toEqual([4, -EAGAIN, 4]);
    expect(s.count).toBe(2);
  });

  test('N3 poll reports a count, and unmasks nothing', async () => {
    const s = new UioSetup();
    const fd = s.open();
    const fds = [{ fd, events: POLLIN | POLLRDNORM, revents: 0 }];
    expect(s.thread.poll(fds, 0)).toBe(0);
    s.raise();
    expect(s.masked).toBe(true);
    expect(s.thread.poll(fds, 0)).toBe(1);
    expect(fds[0]?.revents).toBe(POLLIN | POLLRDNORM);
    expect(s.read(fd)).toBe(4);
    expect(s.thread.poll(fds, 0)).toBe(0);
    expect(s.masked).toBe(true);
    const poll = s.thread.poll(fds, -1);
    expect(await s.sleeps(poll)).toBe(true);
    s.masked = false;
    expect(await poll).toBe(1);
  });

  test('N4 write: EINVAL, EFAULT, ENOSYS without irqcontrol, else what irqcontrol says', () => {
    const s = new UioSetup();
    const fd = s.open();
    for (const length of [0, 1, 8]) expect(s.write(fd, 1, length)).toBe(-EINVAL);
    expect(s.thread.write(fd, virtualAddress(4096n), 4)).toBe(-EFAULT);
    expect(s.write(fd, 1)).toBe(-ENOSYS);

    const told: number[] = [];
    const irqcontrol = (irqOn: number): number => (irqOn === 7 ? -EBUSY : told.push(irqOn) - told.length);
    s.machine.kernel.uio.register(stub({ irqcontrol }));
    const other = s.open(O_RDWR, '/dev/uio1');
    expect([s.write(other, 1), s.write(other, 0), s.write(other, 7)]).toEqual([4, 4, -EBUSY]);
    expect(told).toEqual([1, 0]);
  });

  test('N6 mmap: the offset picks the map; none EINVAL, too long EINVAL, within a page ENODEV', () => {
    const s = new UioSetup();
    const fd = s.open();
    const mmap = (length: number, map: number, of = fd) =>
      s.thread.mmap(NULL, length, RW, MAP_SHARED, of, BigInt(map * PAGE_SIZE));
    const registers = mmap(0x10_0000, 0);
    if (typeof registers === 'number') throw new Error(`mmap: ${registers}`);
    expect(s.machine.kernel.process.mmio(registers, 0x10_0000).read32(0)).toBe(0x0100_00ed);
    expect(typeof mmap(PAGE_SIZE, 0)).toBe('bigint');
    expect(mmap(0x10_0000 + PAGE_SIZE, 0)).toBe(-EINVAL);
    for (const map of [1, 4, 5, 1000]) expect(mmap(PAGE_SIZE, map)).toBe(-EINVAL);

    const start = Number(s.text('/sys/class/uio/uio0/maps/map0/addr').trim());
    const mem = [
      { name: 'odd', addr: start + 16, size: 0x100 },
      { name: 'short', addr: start, size: 0x100 },
    ];
    s.machine.kernel.uio.register(stub({ mem }));
    const other = s.open(O_RDWR, '/dev/uio1');
    expect(mmap(PAGE_SIZE, 0, other)).toBe(-ENODEV);
    expect(mmap(PAGE_SIZE, 1, other)).toBe(-EINVAL);
  });

  test('N7 SIGIO goes to the owner, at each event and when the device goes', () => {
    const s = new UioSetup();
    let caught = 0;
    s.thread.sigaction(SIGIO, { flags: 0, handler: () => caught++ });
    const fd = s.open();
    s.interrupt();
    expect(s.thread.fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC)).toBe(0);
    s.interrupt();
    expect(caught).toBe(0);
    expect(s.thread.fcntl(fd, F_SETOWN, 99_999)).toBe(-ESRCH);
    expect(s.thread.fcntl(fd, F_SETOWN, s.machine.kernel.process.pid)).toBe(0);
    expect(s.thread.fcntl(fd, F_GETOWN)).toBe(s.machine.kernel.process.pid);
    s.interrupt();
    expect(caught).toBe(1);
    s.machine.pci.unplug(ADDRESS);
    expect(caught).toBe(2);
    s.thread.close(fd);
  });

  test('N7 a handler of SIGIO may read: the interrupt is over by then', () => {
    const s = new UioSetup();
    const fd = s.open();
    const counts: number[] = [];
    s.thread.sigaction(SIGIO, {
      flags: 0,
      handler() {
        s.read(fd);
        counts.push(s.count);
      },
    });
    s.thread.fcntl(fd, F_SETOWN, s.machine.kernel.process.pid);
    s.thread.fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
    s.interrupt();
    s.interrupt();
    expect(counts).toEqual([1, 2]);
  });

  test('N7 SIGIO ends a process that does not catch it, as the kernel has it', () => {
    const s = new UioSetup();
    const fd = s.open();
    s.thread.fcntl(fd, F_SETOWN, s.machine.kernel.process.pid);
    s.thread.fcntl(fd, F_SETFL, O_ASYNC);
    s.interrupt();
    expect(s.machine.kernel.process.dead).toBe(true);
    expect(s.machine.kernel.fileTable.count).toBe(0);
  });

  test('N7 a device that is pulled out wakes who sleeps with EIO, and its node goes', async () => {
    const s = new UioSetup();
    const fd = s.open(O_RDWR);
    const read = s.read(fd);
    const fds = [{ fd, events: POLLIN, revents: 0 }];
    const poll = s.thread.poll(fds, -1);
    expect(await s.sleeps(read)).toBe(true);
    s.machine.pci.unplug(ADDRESS);
    expect([await read, await poll]).toEqual([-EIO, 1]);
    expect(s.read(fd)).toBe(-EIO);
    expect(s.write(fd, 1)).toBe(-EINVAL);
    expect(s.thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, fd, 0n)).toBe(-EINVAL);
    expect(s.open()).toBe(-ENOENT);
    expect(s.thread.close(fd)).toBe(0);
  });

  test('N7 unbinding does the same, and frees the line and the function', async () => {
    const s = new UioSetup();
    const read = s.read(s.open(O_RDWR));
    expect(await s.sleeps(read)).toBe(true);
    expect(s.echo(ADDRESS, '/sys/bus/pci/drivers/uio_pci_generic/unbind')).toBe(ADDRESS.length);
    expect(await read).toBe(-EIO);
    expect(s.text('/proc/interrupts')).not.toContain('uio_pci_generic');
    expect(s.thread.usrPciOpen(0, 4, 0, 0n)).toBeGreaterThanOrEqual(0);
  });

  test('N8 the handler masks at the device, and others on the line are heard: it counts for them too while it asks', () => {
    const second = new EduDevice();
    const s = new UioSetup('uio_pci_generic', { shared: second });
    const [first, other] = [s.open(), s.open(O_RDWR | O_NONBLOCK, '/dev/uio1')];
    s.raise();
    expect(s.masked).toBe(true);
    expect([s.read(first), s.read(other)]).toEqual([4, -EAGAIN]);
    second.write(0x60, 1, 4);
    s.machine.kick();
    expect([s.read(first), s.read(other)]).toEqual([4, 4]);
    s.acknowledge();
    second.write(0x64, 1, 4);
    s.machine.pci.function(SECOND)?.configWrite(PCI_COMMAND, 0, 2);
    second.write(0x60, 1, 4);
    s.machine.kick();
    expect([s.read(first), s.read(other)]).toEqual([-EAGAIN, 4]);
  });

  test('N8 bus mastering is not set by opening, and cleared by closing any file of the device', () => {
    const s = new UioSetup();
    const fd = s.open();
    expect(s.command & PCI_COMMAND_MASTER).toBe(0);
    s.command |= PCI_COMMAND_MASTER;
    s.thread.close(s.thread.dup(fd));
    expect(s.command & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
    s.thread.close(s.open());
    expect(s.command & PCI_COMMAND_MASTER).toBe(0);
  });

  test('N8 prefetchable and 64-bit BARs are no maps: they are in sysfs', () => {
    const s = new UioSetup('uio_pci_generic', { devices: [{ device: wide, address: '0000:00:05.0' }] });
    s.machine.kernel.bindDriver('uio_pci_generic', '0000:00:05.0');
    expect(s.machine.kernel.files.readdirSync('/sys/class/uio/uio1/maps')).toEqual(['map0']);
    expect(s.text('/sys/class/uio/uio1/maps/map0/size')).toBe('0x0000000000001000\n');
    expect(s.text('/sys/class/uio/uio1/maps/map0/offset')).toBe('0x0\n');
    const fd = s.open(O_RDWR, '/sys/bus/pci/devices/0000:00:05.0/resource1');
    expect(typeof s.thread.mmap(NULL, 2 * PAGE_SIZE, RW, MAP_SHARED, fd, 0n)).toBe('bigint');
    expect(s.thread.mmap(NULL, 2 * PAGE_SIZE, RW, MAP_SHARED, fd, 4096n)).toBe(-EINVAL);
    expect(s.open(O_RDWR, '/sys/bus/pci/devices/0000:00:05.0/resource3')).toBe(-ENOENT);
  });

  test('what /sys shows of a device', () => {
    const s = new UioSetup();
    const at = '/sys/class/uio/uio0';
    expect(s.machine.kernel.files.readdirSync('/sys/bus/pci/devices/0000:00:04.0/uio')).toEqual(['uio0']);
    expect([s.text(`${at}/name`), s.text(`${at}/version`), s.text(`${at}/event`)]).toEqual([
      'uio_pci_generic\n',
      '0.01.0\n',
      '0\n',
    ]);
    expect(s.text(`${at}/maps/map0/size`)).toBe('0x0000000000100000\n');
    expect(s.text(`${at}/maps/map0/name`)).toBe('0000:00:04.0\n');
    expect(s.text('/sys/bus/pci/devices/0000:00:04.0/uevent')).toContain('DRIVER=uio_pci_generic\nPCI_CLASS=FF00\n');
    s.machine.kernel.uio.register({ name: 'old', version: '2', mem: [], port: [{ name: 'a', start: 0x3f8, size: 8 }] });
    expect(s.text('/sys/class/uio/uio1/portio/port0/start')).toBe('0x3f8\n');
    expect(s.machine.kernel.files.readdirSync('/sys/class/uio/uio1')).toEqual(['name', 'version', 'event', 'portio']);
  });

  test('binding as a shell does it: new_id takes what nobody has, bind and unbind by address', () => {
    const s = new UioSetup('uio_pci_generic', { devices: [{ device: new EduDevice(), address: SECOND }] });
    const driver = '/sys/bus/pci/drivers/uio_pci_generic';
    expect(s.echo(SECOND, `${driver}/bind`)).toBe(-ENODEV);
    expect(s.echo('1234', `${driver}/new_id`)).toBe(-EINVAL);
    expect(s.echo('1234 11e8\n', `${driver}/new_id`)).toBe(10);
    expect(s.echo('1234 11e8\n', `${driver}/new_id`)).toBe(-EEXIST);
    expect(s.machine.kernel.files.readdirSync(driver)).toEqual(['bind', 'new_id', 'unbind', ADDRESS, SECOND]);
    expect(s.echo(SECOND, `${driver}/bind`)).toBe(-EBUSY);
    expect(s.echo(SECOND, `${driver}/unbind`)).toBe(SECOND.length);
    expect(s.echo(SECOND, `${driver}/unbind`)).toBe(-ENODEV);
    expect(s.echo('iio_pci', `/sys/bus/pci/devices/${SECOND}/driver_override`)).toBe(7);
    expect(s.echo(SECOND, `${driver}/bind`)).toBe(-ENODEV);
    expect(s.echo(SECOND, '/sys/bus/pci/drivers/iio_pci/bind')).toBe(SECOND.length);
    expect(s.machine.kernel.files.existsSync('/dev/iio0_event')).toBe(true);
  });

  test('a function that a driver or a user has is EBUSY for the other', () => {
    const s = new UioSetup('uio_pci_generic', { devices: [{ device: new EduDevice(), address: SECOND }] });
    expect(s.thread.usrPciOpen(0, 4, 0, 0n)).toBe(-EBUSY);
    const fd = s.thread.usrPciOpen(0, 5, 0, 0n);
    expect(() => s.machine.kernel.bindDriver('uio_pci_generic', SECOND)).not.toThrow();
    s.thread.close(fd);
  });

  test('a record that is none is refused, and so is a line that is taken', () => {
    const { uio } = new UioSetup().machine.kernel;
    expect(uio.register(stub({ name: '' }))).toBe(-EINVAL);
    expect(uio.register(stub({ mem: Array.from({ length: 6 }, () => ({ name: '', addr: 0, size: 1 })) }))).toBe(
      -EINVAL,
    );
    expect(uio.register({ name: 'deaf', version: '1', mem: [], irq: 20 })).toBe(-EINVAL);
    expect(uio.register(stub({ irq: 999 }))).toBe(-EINVAL);
    expect(uio.register(stub())).toBeInstanceOf(UioDevice);
    expect(uio.register(stub())).toBe(-EBUSY);
  });
});

function stub(o: Partial<UioInfo> = {}): UioInfo {
  return {
    name: 'stub',
    version: '1',
    mem: [],
    irq: 23,
    *handler() {
      return IRQ_HANDLED;
    },
    ...o,
  };
}

/** A device with every kind of BAR. */
const wide: DeviceModel = {
  name: 'wide',
  config: { vendorId: 0x1234, deviceId: 3, classCode: 0xff0000 },
  bars: [{ size: 16, prefetchable: true }, { size: 8192, is64Bit: true }, undefined, undefined, { size: 256 }],
  attach: () => ({ read: () => 0, write() {} }),
};
