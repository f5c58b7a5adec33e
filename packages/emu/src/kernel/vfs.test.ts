import {
  EACCES,
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOMEM,
  ENOTDIR,
  EPERM,
  MAP_PRIVATE,
  MAP_SHARED,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  SEEK_SET,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import { IRQ_FILE, PROFILES, Setup } from './kernel.fixture.ts';

const NULL = virtualAddress(0);
const EDU = '/sys/bus/pci/devices/0000:00:04.0';

const text = (s: Setup, path: string): string => new TextDecoder().decode(s.kernel.files.readFileSync(path));

/** Reads a file through a descriptor, in pieces of that many bytes. */
function readAll(s: Setup, path: string, piece = 4096): string {
  const fd = s.open(O_RDONLY, path);
  let all = '';
  for (;;) {
    const count = s.thread.read(fd, s.buf, piece);
    if (typeof count !== 'number' || count < 0) throw new Error(`read: ${String(count)}`);
    if (count === 0) break;
    all += new TextDecoder().decode(s.kernel.process.bytes(s.buf, count).slice());
  }
  s.thread.close(fd);
  return all;
}

describe.each(PROFILES)('%s', (profile) => {
  const chubb = profile === 'chubb-2.6.11';

  test('paths are walked as the kernel walks them', () => {
    const s = new Setup(profile);
    for (const path of [
      '/proc/irq/16/irq',
      '//proc/./irq//16/irq',
      'proc/irq/16/irq',
      '/proc/irq/17/../16/irq',
      '/../proc/irq/16/irq',
    ]) {
      const fd = s.open(O_RDONLY, path);
      expect(fd, path).toBe(0);
      s.thread.close(fd);
    }
    const errors: [string, number][] = [
      ['', -ENOENT],
      ['/proc/irq/99/irq', -ENOENT],
      ['/proc/irq/016/irq', -ENOENT],
      ['/proc/irq/1e1/irq', -ENOENT],
      ['/proc/irq/16/irq/', -ENOTDIR],
      ['/proc/irq/16/irq/..', -ENOTDIR],
      ['/nowhere/../proc/irq/16/irq', -ENOENT],
      [`/${'a'.repeat(256)}`, -ENAMETOOLONG],
      [`/${'a/'.repeat(2100)}`, -ENAMETOOLONG],
    ];
    for (const [path, error] of errors) expect(s.open(O_RDONLY, path), path).toBe(error);
    expect(Reflect.apply(s.thread.open, s.thread, [undefined, 0])).toBe(-EFAULT);
    expect(s.thread.open('/proc/irq/16/irq', Number.NaN)).toBe(-EINVAL);
  });

  test('a directory opens for reading only, and read(2) of it is EISDIR', () => {
    const s = new Setup(profile);
    const fd = s.open(O_RDONLY, '/proc/irq');
    expect(s.read(fd)).toBe(-EISDIR);
    expect(s.open(O_RDWR, '/proc/irq')).toBe(-EISDIR);
    expect(s.open(0o200000, IRQ_FILE)).toBe(-ENOTDIR);
    expect(s.open(0o300, IRQ_FILE)).toBe(-EEXIST);
    expect(s.thread.lseek(fd, 0, SEEK_SET)).toBe(0);
  });

  test('P6 the file has mode 0600: another user may not open it, and nothing is claimed', () => {
    const s = new Setup(profile);
    const { thread } = s.kernel.spawn({ uid: 1000 });
    expect(thread.open(IRQ_FILE, O_RDONLY)).toBe(-EACCES);
    expect(thread.open('/proc/interrupts', O_WRONLY)).toBe(-EACCES);
    expect(thread.open('/dev/mem', O_RDWR)).toBe(-EACCES);
    expect(thread.open('/proc/interrupts', O_RDONLY)).toBe(0);
    expect(s.open()).toBe(0);
  });

  test('P6 a second open is EBUSY by anyone, also where a kernel driver has the line; opening can fail with ENOMEM', () => {
    const failing = { on: false };
    const oracle = {
      asksAtSteps: false,
      choose: (_n: number, tag: string) => Number(failing.on && tag === 'alloc.fail'),
    };
    const s = new Setup(profile, { oracle });
    failing.on = true;
    expect(s.open()).toBe(-ENOMEM);
    failing.on = false;
    expect(s.open()).toBe(0);
    expect(s.kernel.spawn().thread.open(IRQ_FILE, O_RDONLY)).toBe(-EBUSY);
    const devId = {};
    const handler = function* (): Generator<never, 1> {
      return 1;
    };
    expect(s.machine.irqs.request(17, { handler, flags: 0x80, name: 'eth0', devId })).toBe(0);
    expect(s.open(O_RDONLY, '/proc/irq/17/irq')).toBe(-EBUSY);
    expect(text(s, '/proc/interrupts')).toContain('  eth0\n');
    expect(s.kernel.files.readdirSync('/proc/irq/17')).toEqual(['irq', 'eth0']);
  });

  test('P9 opening unmasks: an asserted level line counts 1 before open returns', () => {
    const s = new Setup(profile);
    s.raise();
    const fd = s.open(O_NONBLOCK);
    s.lower();
    expect(s.read(fd)).toBe(4);
    expect(s.count).toBe(1);
  });

  test('D10 a command called irq: its directory shadows the file in 2.6.11, and has another name in 6.1', () => {
    const s = new Setup(profile);
    const { thread } = s.kernel.spawn({ comm: 'irq' });
    expect(thread.open(IRQ_FILE, O_RDONLY)).toBe(0);
    expect(s.open(O_RDWR)).toBe(chubb ? -EISDIR : -EBUSY);
    const fd = s.open(O_RDONLY);
    expect(fd).toBe(chubb ? 0 : -EBUSY);
    expect(s.read(fd)).toBe(chubb ? -EISDIR : -EBADF);
    expect(s.kernel.files.readdirSync('/proc/irq/16')).toEqual(chubb ? ['irq'] : ['irq', 'irq!']);
    thread.exitGroup(0);
    expect(s.open(O_RDWR)).toBeGreaterThanOrEqual(0);
  });

  test('D11 a recursive read of everything claims lines', () => {
    const s = new Setup(profile);
    const opened: string[] = [];
    const grep = (directory: string): void => {
      for (const name of s.kernel.files.readdirSync(directory)) {
        const path = `${directory}/${name}`;
        if (s.open(O_RDONLY | O_NONBLOCK | 0o200000, path) >= 0) grep(path);
        else if (s.open(O_RDONLY | O_NONBLOCK, path) >= 0) opened.push(path);
      }
    };
    grep('/proc');
    expect(opened).toContain(IRQ_FILE);
    expect(s.open()).toBe(-EBUSY);
  });

  test('the view of the files lists and reads, and does not open', () => {
    const s = new Setup(profile);
    const { files } = s.kernel;
    expect(files.readdirSync('/')).toEqual(['proc', 'dev', 'sys']);
    expect(files.readdirSync('/proc/irq')).toContain('16');
    expect(files.existsSync(IRQ_FILE)).toBe(true);
    expect(files.existsSync('/proc/irq/99')).toBe(false);
    expect(() => files.readFileSync('/nowhere')).toThrow('ENOENT');
    expect(() => files.readFileSync('/proc')).toThrow('EISDIR');
    expect(() => files.readdirSync('/dev/mem')).toThrow('ENOTDIR');
    expect(() => files.readFileSync(IRQ_FILE)).toThrow('EINVAL');
    expect(s.open()).toBe(0);
  });

  test('/proc/interrupts shows counts by processor in the format of its kernel, also read in pieces', () => {
    const s = new Setup(profile);
    s.open();
    s.interrupt();
    const lines = text(s, '/proc/interrupts').split('\n');
    expect(lines[0]).toBe('           CPU0       CPU1       ');
    expect(lines[1]).toBe(
      chubb
        ? ' 16:          1          0   IO-APIC-level  driver'
        : ' 16:          1          0   IO-APIC  16-fasteoi   driver',
    );
    expect(readAll(s, '/proc/interrupts', 7)).toBe(lines.join('\n'));
    expect(text(s, '/proc/sys/fs/file-nr')).toBe('1\t0\t8192\n');
  });

  test('on the 8259s /proc/interrupts names them', () => {
    const s = new Setup(profile, { interrupts: '8259' });
    s.open(O_RDONLY, '/proc/irq/11/irq');
    expect(text(s, '/proc/interrupts')).toMatch(
      chubb ? /^ 11: {10}0 {10}0 {10}XT-PIC {2}driver$/m : /^ 11: {10}0 {10}0 {4}XT-PIC {6}driver$/m,
    );
  });

  test('/sys/bus/pci/devices shows what is plugged in', () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const { files } = s.kernel;
    expect(files.readdirSync('/sys/bus/pci/devices')).toEqual(['0000:00:04.0']);
    expect(files.readdirSync(EDU)).toEqual(
      expect.arrayContaining(['class', 'config', 'device', 'enable', 'irq', 'resource', 'vendor']),
    );
    expect(text(s, `${EDU}/vendor`)).toBe('0x1234\n');
    expect(text(s, `${EDU}/device`)).toBe('0x11e8\n');
    expect(text(s, `${EDU}/class`)).toBe('0x00ff00\n');
    expect(text(s, `${EDU}/irq`)).toBe('16\n');
    expect(text(s, `${EDU}/enable`)).toBe('0\n');
    expect(text(s, `${EDU}/resource`).split('\n')[0]).toMatch(/^0x0{8}e[0-9a-f]{7} 0x0{8}e[0-9a-f]{7} 0x0{11}40200$/);
    expect(text(s, `${EDU}/resource`).split('\n')).toHaveLength(8);
    expect([...files.readFileSync(`${EDU}/config`)].slice(0, 4)).toEqual([0x34, 0x12, 0xe8, 0x11]);
    s.machine.pci.unplug('0000:00:04.0');
    expect(files.readdirSync('/sys/bus/pci/devices')).toEqual([]);
    expect(s.open(O_RDONLY, `${EDU}/vendor`)).toBe(-ENOENT);
  });

  test('config space is read and written at any offset; who is not root sees the header only', () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const path = `${EDU}/config`;
    const fd = s.open(O_RDWR, path);
    expect(s.thread.lseek(fd, 1, SEEK_SET)).toBe(1);
    expect(s.thread.read(fd, s.buf, 5)).toBe(5);
    expect([...s.kernel.process.bytes(s.buf, 3)]).toEqual([0x12, 0xe8, 0x11]);
    s.kernel.process.bytes(s.buf, 2).set([0x06, 0x04]);
    s.thread.lseek(fd, 4, SEEK_SET);
    expect(s.thread.write(fd, s.buf, 2)).toBe(2);
    expect(s.machine.pci.function('0000:00:04.0')?.configRead(4, 2)).toBe(0x0406);
    s.thread.lseek(fd, 250, SEEK_SET);
    expect(s.thread.read(fd, s.buf, 4096)).toBe(6);
    expect(s.thread.read(fd, s.buf, 4096)).toBe(0);
    expect(s.thread.write(fd, s.buf, 4)).toBe(0);
    s.thread.lseek(fd, 0, SEEK_SET);
    expect(s.thread.read(fd, virtualAddress(0x1000), 4)).toBe(-EFAULT);
    s.thread.setuid(1000);
    const header = s.open(O_RDONLY, path);
    expect(s.thread.read(header, s.buf, 4096)).toBe(64);
    expect(s.open(O_RDWR, path)).toBe(-EACCES);
  });

  test('enable counts, and refuses what is no number', () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const fd = s.open(O_RDWR, `${EDU}/enable`);
    const store = (value: string): unknown => {
      const bytes = new TextEncoder().encode(value);
      s.kernel.process.bytes(s.buf, bytes.length).set(bytes);
      return s.thread.write(fd, s.buf, bytes.length);
    };
    expect(store('0')).toBe(-5);
    expect(store('1\n')).toBe(2);
    expect(text(s, `${EDU}/enable`)).toBe('1\n');
    expect(store('x')).toBe(-EINVAL);
    expect(store('0')).toBe(1);
    expect(text(s, `${EDU}/enable`)).toBe('0\n');
  });

  test('D13 pulling the device out ends reads of its interrupts with ENODEV in 6.1; in 2.6.11 nobody tells them', async () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const fd = s.open();
    const reading = s.read(fd);
    s.machine.pci.unplug('0000:00:04.0');
    if (chubb) expect(await s.sleeps(reading)).toBe(true);
    else expect(await reading).toBe(-19);
    s.thread.exitGroup(0);
    expect(await reading).toBe(chubb ? -4 : -19);
  });

  test.runIf(!chubb)('message vectors have files of their own for as long as they are allocated', async () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const { thread } = s;
    const device = thread.usrPciOpen(0, 4, 0, 0xfff_ffffn);
    expect(device).toBe(0);
    expect(thread.usrPciIrqVectors(device, 1, 1, s.buf)).toBe(1);
    const irq = s.count;
    expect(text(s, `${EDU}/irq`)).toBe(`${irq}\n`);
    expect(s.kernel.files.readdirSync(`${EDU}/msi_irqs`)).toEqual([`${irq}`]);
    expect(text(s, `${EDU}/msi_irqs/${irq}`)).toBe('msi\n');
    const fd = s.open(O_RDONLY, `/proc/irq/${irq}/irq`);
    expect(fd).toBe(1);
    expect(text(s, '/proc/interrupts')).toContain('   PCI-MSI 65536-edge      driver\n');
    thread.close(fd);
    expect(thread.usrPciIrqVectors(device, 0, 0, s.buf)).toBe(0);
    thread.close(device);
    expect(s.open(O_RDONLY, `/proc/irq/${irq}/irq`)).toBe(-ENOENT);
    expect(s.kernel.files.existsSync(`${EDU}/msi_irqs`)).toBe(false);
  });

  test('S3 registers are mapped through /dev/mem; RAM is not', () => {
    const s = new Setup(profile, { devices: [new EduDevice()] });
    const fd = s.open(O_RDWR, '/dev/mem');
    const bar = BigInt(s.machine.pci.function('0000:00:04.0')?.barAddress(0) ?? 0);
    const mapped = s.thread.mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, bar);
    if (typeof mapped === 'number') throw new Error(`mmap: ${mapped}`);
    using registers = s.kernel.process.mmio(mapped, 4096);
    registers.write32(4, 0x0f0f_0f0f);
    expect(registers.read32(4)).toBe(0xf0f0_f0f0);
    const { thread } = s;
    expect(thread.mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0x10_0000n)).toBe(-EPERM);
    expect(thread.mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, bar + 1n)).toBe(-EINVAL);
    expect(thread.mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 2n ** 60n)).toBe(-EINVAL);
    expect(thread.mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, bar)).toBe(-EINVAL);
    expect(thread.mmap(NULL, 4096, PROT_READ, MAP_SHARED, 99, bar)).toBe(-EBADF);
    const readOnly = s.open(O_RDONLY, '/dev/mem');
    expect(thread.mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, readOnly, bar)).toBe(-EACCES);
    expect(thread.mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, s.open(), 0n)).toBe(-19);
  });
});
