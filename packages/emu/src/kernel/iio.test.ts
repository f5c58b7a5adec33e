import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENOENT,
  ENOSYS,
  MAP_SHARED,
  O_RDWR,
  PAGE_SIZE,
  POLLERR,
  POLLHUP,
  POLLIN,
  PROT_READ,
  PROT_WRITE,
  SEEK_SET,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { IRQ_HANDLED } from './irq-desc.ts';
import { ADDRESS, UioSetup } from './uio.fixture.ts';

const iio = () => new UioSetup('iio_pci');

describe('S5 IIO', () => {
  test('each event is one byte: as many can be read as there were events', () => {
    const s = iio();
    const fd = s.open();
    expect(s.read(fd)).toBe(-EAGAIN);
    s.interrupt();
    s.interrupt();
    expect([s.read(fd), s.read(fd), s.read(fd)]).toEqual([1, 1, -EAGAIN]);
  });

  test('a length other than 1 is EINVAL, for read and for write', () => {
    const s = iio();
    const fd = s.open();
    for (const length of [0, 2, 4]) expect([s.read(fd, length), s.write(fd, 1, length)]).toEqual([-EINVAL, -EINVAL]);
  });

  test('EFAULT takes no event', () => {
    const s = iio();
    const fd = s.open();
    s.interrupt();
    expect(s.thread.read(fd, virtualAddress(4096n), 1)).toBe(-EFAULT);
    expect(s.thread.write(fd, virtualAddress(4096n), 1)).toBe(-EFAULT);
    expect(s.read(fd)).toBe(1);
  });

  test('what the handler does not handle is no event', () => {
    const s = iio();
    const fd = s.open();
    s.machine.cpus.boot.request(16);
    s.machine.kick();
    expect(s.read(fd)).toBe(-EAGAIN);
  });

  test('a write to the event node goes to event_write: here it masks and unmasks at the device', () => {
    const s = iio();
    const fd = s.open();
    s.raise();
    expect(s.masked).toBe(true);
    expect([s.read(fd), s.read(fd)]).toEqual([1, -EAGAIN]);
    expect(s.write(fd, 1, 1)).toBe(1);
    expect(s.read(fd)).toBe(1);
    s.acknowledge();
    expect(s.write(fd, 1, 1)).toBe(1);
    expect(s.masked).toBe(false);
    expect(s.write(fd, 0, 1)).toBe(1);
    expect(s.masked).toBe(true);
  });

  test('without event_write a write is ENOSYS, without a line everything is EIO', () => {
    const s = iio();
    s.machine.kernel.iio.register({
      name: 'stub',
      version: '1',
      mem: [],
      irq: 20,
      *handler() {
        return IRQ_HANDLED;
      },
    });
    expect(s.write(s.open(O_RDWR, '/dev/iio1_event'), 1, 1)).toBe(-ENOSYS);
    s.machine.kernel.iio.register({ name: 'silent', version: '1', mem: [] });
    const fd = s.open(O_RDWR, '/dev/iio2_event');
    expect([s.read(fd), s.write(fd, 1, 1)]).toEqual([-EIO, -EIO]);
  });

  test('the device’s memory is read, written and mapped through the other node', () => {
    const s = iio();
    const fd = s.open(O_RDWR, '/dev/iio0');
    expect(s.read(fd, 4)).toBe(4);
    expect(s.count).toBe(0x0100_00ed);
    expect(s.write(fd, 0x1234_5678)).toBe(4);
    expect(s.thread.lseek(fd, 4, SEEK_SET)).toBe(4);
    expect(s.read(fd, 4)).toBe(4);
    expect(s.count).toBe(~0x1234_5678);
    expect(s.thread.lseek(fd, 0x10_0000, SEEK_SET)).toBe(0x10_0000);
    expect(s.read(fd, 4)).toBe(0);

    const map = (length: number, offset: bigint) =>
      s.thread.mmap(virtualAddress(0n), length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    const registers = map(PAGE_SIZE, 0n);
    if (typeof registers === 'number') throw new Error(`mmap: ${registers}`);
    expect(s.machine.kernel.process.mmio(registers, 8).read32(4)).toBe(~0x1234_5678 >>> 0);
    expect(map(PAGE_SIZE, 4096n)).toBe(-EINVAL);
  });

  test('ports, where it has no memory: this machine has none, and they read as all ones', () => {
    const s = iio();
    s.machine.kernel.iio.register({
      name: 'uart',
      version: '1',
      mem: [],
      port: [{ name: 'io', start: 0x3f8, size: 8 }],
    });
    const fd = s.open(O_RDWR, '/dev/iio1');
    expect(s.read(fd, 16)).toBe(8);
    expect(s.count).toBe(-1);
    expect(s.write(fd, 0, 4)).toBe(0);
  });

  test('a blocking read sleeps until the next event, poll too; a device that goes wakes both', async () => {
    const s = iio();
    const fd = s.open(O_RDWR);
    const fds = [{ fd, events: POLLIN, revents: 0 }];
    const read = s.read(fd);
    expect(await s.sleeps(read)).toBe(true);
    s.interrupt();
    expect(await read).toBe(1);
    expect(s.thread.poll(fds, 0)).toBe(0);
    const [again, poll] = [s.read(fd), s.thread.poll(fds, -1)];
    s.machine.pci.unplug(ADDRESS);
    expect([await again, await poll, fds[0]?.revents]).toEqual([-EIO, 1, POLLIN | POLLERR | POLLHUP]);
    expect(s.open()).toBe(-ENOENT);
  });

  test('the 2005 kernel has IIO, and no UIO', () => {
    const s = new UioSetup('iio_pci', { kernel: 'chubb-2.6.11' });
    const fd = s.open();
    s.interrupt();
    expect(s.read(fd)).toBe(1);
    expect(() => s.machine.kernel.bindDriver('uio_pci_generic', ADDRESS)).toThrow(RangeError);
  });
});
