import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EmulatedBackend } from '../../src/index.ts';
import { caught, code, DMA_MASK, EDU, EduMachine, PROFILES } from './edu-machine.ts';

describe.each(PROFILES)('userModeBackend on %s', (kernel) => {
  let machine: EduMachine;
  let backend: EmulatedBackend;
  beforeEach(() => {
    machine = new EduMachine(kernel);
    backend = machine.backend;
  });
  afterEach(() => backend.close());

  describe('PciBus', () => {
    test('lists every function', () => {
      expect(
        [...backend.pci.scan()].map((f) => `${f.address} ${f.vendorId.toString(16)}:${f.deviceId.toString(16)}`),
      ).toEqual([`${EDU} 1234:11e8`]);
    });

    test('U1 a function is claimed once, until it is closed', () => {
      const device = machine.open();
      expect(() => machine.open()).toThrow(/^EBUSY: .* usrdrv bind 0000:00:04\.0 --to none/);
      device.close();
      machine.open().close();
    });

    test('U1 a function that is not there is ENOENT', () => {
      for (const address of ['00:05.0', '00:04.1', '01:04.0', '0001:00:04.0']) {
        expect(
          code(() => backend.pci.open(address, { dmaMask: DMA_MASK })),
          address,
        ).toBe('ENOENT');
      }
    });

    test('a bad address or mask is refused before anything has changed', () => {
      expect(() => backend.pci.open('nonsense', { dmaMask: DMA_MASK })).toThrow(TypeError);
      expect(() => backend.pci.open('00:20.0', { dmaMask: DMA_MASK })).toThrow(RangeError);
      for (const dmaMask of [-1n, 2n ** 64n, 1, undefined]) {
        expect(() => backend.pci.open(EDU, { dmaMask: dmaMask as bigint })).toThrow(RangeError);
      }
      machine.open().close();
    });

    // UD10: the 2005 kernel does not survive it.
    test.skipIf(kernel === 'chubb-2.6.11')(
      'running out of descriptors at any moment of opening leaves nothing open',
      () => {
        const { thread } = backend.machine.kernel.process;
        const device = machine.open();
        device.close();
        let refusals = 0;
        for (let limit = 0; ; limit++) {
          thread.setrlimit('RLIMIT_NOFILE', limit);
          const result = code(() => machine.open().close());
          if (result === undefined) break;
          expect(result).toBe('EMFILE');
          refusals++;
        }
        expect(refusals).toBeGreaterThan(0);
        thread.setrlimit('RLIMIT_NOFILE', 1024);
        machine.open().close();
      },
    );
  });

  describe('PciDevice', () => {
    test('reads and writes configuration space', () => {
      using device = machine.open();
      const { config } = device;
      expect(config.read32(0)).toBe(0x11e8_1234);
      expect(config.read16(2)).toBe(0x11e8);
      expect(config.read8(0)).toBe(0x34);
      config.write8(0x3c, 0x55);
      expect(config.read8(0x3c)).toBe(0x55);
      expect([256, 4096]).toContain(config.length);
      expect(() => config.read32(config.length)).toThrow(RangeError);
    });

    test('maps a BAR once, and again after it was closed', () => {
      using device = machine.open();
      const registers = device.bar(0);
      expect(registers.length).toBe(0x10_0000);
      expect(registers.read32(0)).toBe(0x0100_00ed);
      registers.write32(4, 0x1234_5678);
      expect(registers.read32(4)).toBe(0xedcb_a987);
      expect(device.bar(0)).toBe(registers);
      registers.close();
      registers.close();
      expect(code(() => registers.read32(0))).toBe('EBADF');
      expect(device.bar(0).read32(0)).toBe(0x0100_00ed);
    });

    test('a BAR that is not there is ENODEV, an index that cannot be a RangeError', () => {
      using device = machine.open();
      expect(code(() => device.bar(1))).toBe('ENODEV');
      for (const index of [-1, 6, 0.5, Number.NaN, '0']) expect(() => device.bar(index as number)).toThrow(RangeError);
    });

    test('U2 closing ends everything that was opened through it, in any order, once', async () => {
      const device = machine.open();
      const region = device.bar(0);
      const irq = device.irq();
      const consistent = device.dma.allocConsistent(64);
      const memory = device.dma.allocUser(5000);
      const mapping = device.dma.map(memory, 'bidirectional');
      const { bytes } = consistent;
      const waiting = irq.read();
      device.close();
      await expect(waiting).rejects.toMatchObject({ code: 'EBADF' });
      expect(bytes.length).toBe(0);
      expect(consistent.bytes.length).toBe(0);
      expect(memory.bytes.length).toBe(5000);
      for (const call of [
        () => region.read8(0),
        () => irq.tryRead(),
        () => device.bar(0),
        () => device.irq(),
        () => device.config.read8(0),
        () => device.dma.allocConsistent(1),
        () => device.dma.allocUser(1),
        () => device.dma.map(memory, 'to-device'),
      ]) {
        expect(code(call)).toBe('EBADF');
      }
      mapping.unmap();
      consistent.free();
      irq.close();
      region.close();
      device.close();
      memory.free();
      using again = machine.open();
      again.irq().close();
    });

    test('leaves no memory, descriptor, pin or line behind, nor a misuse of DMA', () => {
      const { memory, dmaDebug, kernel: emulatedKernel } = backend.machine;
      const left = () => ({
        frames: memory.freeFrames,
        pinned: memory.pinned,
        interrupts: machine.text('/proc/interrupts'),
      });
      const round = () => {
        const device = machine.open();
        device.bar(0);
        device.irq();
        device.dma.allocConsistent(1);
        using user = device.dma.allocUser(1);
        device.dma.map(user, 'to-device').unmap();
        device.close();
      };
      // More than one round has open, fewer than three leave behind if one does.
      emulatedKernel.process.thread.setrlimit('RLIMIT_NOFILE', 8);
      round();
      const before = left();
      for (let n = 0; n < 10; n++) round();
      // The consistent page leaks in the 2005 kernel (UD11).
      const leaked = kernel === 'chubb-2.6.11' ? 10 : 0;
      expect(left()).toEqual({ ...before, frames: before.frames - leaked });
      expect(dmaDebug.reports).toEqual([]);
    });

    test('U2 memory that is mapped when the device is closed is unpinned, and reported as a leak (M6)', () => {
      const device = machine.open();
      using user = device.dma.allocUser(1);
      device.dma.map(user, 'to-device');
      expect(backend.machine.memory.pinned).toBeGreaterThan(0);
      device.close();
      expect(backend.machine.memory.pinned).toBe(0);
      expect(backend.machine.dmaDebug.reports.map(({ what }) => what)).toEqual(['leak']);
    });
  });

  test('mapPhysical reaches any address and length, and refuses what is none', () => {
    const device = machine.open();
    const address = machine.registers;
    const id = backend.mapPhysical(address, 4);
    expect(id.read32(0)).toBe(0x0100_00ed);
    const liveness = backend.mapPhysical(address + 4n, 4);
    liveness.write32(0, 0);
    expect(liveness.read32(0)).toBe(0xffff_ffff);
    expect(() => liveness.read32(4)).toThrow(RangeError);
    for (const length of [0, -1, 0.5, Number.NaN, '4']) {
      expect(() => backend.mapPhysical(address, length as number)).toThrow(RangeError);
    }
    expect(() => backend.mapPhysical(-1n, 4)).toThrow(RangeError);
    expect(() => backend.mapPhysical(2n ** 64n - 2n, 4)).toThrow(RangeError);
    device.close();
  });

  test('a BAR is mapped through sysfs where the process may not have /dev/mem', () => {
    const device = machine.open();
    machine.backend.machine.kernel.process.thread.capset({ CAP_SYS_RAWIO: false });
    expect(code(() => backend.mapPhysical(machine.registers, 4))).toBe('EPERM');
    expect(device.bar(0).read32(0)).toBe(0x0100_00ed);
    expect(device.bar(0).length).toBe(0x10_0000);
    device.close();
    expect(machine.backend.machine.kernel.fileTable.count).toBe(0);
  });

  test('closing the backend closes all of it', async () => {
    const device = machine.open();
    const irq = device.irq();
    const memory = device.dma.allocUser(1);
    device.dma.map(memory, 'to-device');
    const region = backend.mapPhysical(machine.registers, 4);
    const waiting = caught(irq.read());
    backend.close();
    expect(await waiting).toMatchObject({ code: 'EBADF' });
    expect(memory.bytes.length).toBe(0);
    for (const call of [
      () => region.read32(0),
      () => backend.pci.scan(),
      () => machine.open(),
      () => backend.openIrq(11),
      () => backend.mapPhysical(0n, 1),
    ]) {
      expect(code(call)).toBe('EBADF');
    }
  });
});
