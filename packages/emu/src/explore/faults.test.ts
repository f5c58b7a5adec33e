import {
  EINTR,
  ENODEV,
  ENOMEM,
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_NONBLOCK,
  PCI_STATUS,
  PROT_READ,
  SA_RESTART,
  SIGUSR1,
  virtualAddress,
} from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import { emulated } from '../emulated.ts';
import { PROFILES, Setup } from '../kernel/kernel.fixture.ts';
import type { MachineOptions } from '../machine/machine.ts';
import { type Fault, faults } from './fault-plan.ts';
import type { Oracle } from './oracle.ts';

const SLOT = '0000:00:04.0';
const DMA_MASK = 0xfff_ffffn;

/** The kernel without devices, once the setting up is over. */
function setup(profile: KernelProfile, plan: Fault[], o: MachineOptions = {}) {
  const oracle = faults(plan);
  return { oracle, s: new Setup(profile, { ...o, oracle }) };
}

/** edu through core's interfaces: the device, its registers, and its interrupt. */
function edu(kernel: KernelProfile, plan: Fault[]) {
  const oracle = faults(plan);
  const device = new EduDevice();
  const backend = emulated({ kernel, devices: [device], oracle });
  const opened = backend.pci.open(SLOT, { dmaMask: DMA_MASK });
  const registers = opened.bar(0);
  const irq = opened.irq();
  const factorial = (n: number) => {
    registers.write32(0x20, 0x80);
    registers.write32(0x08, n);
  };
  return { oracle, device, backend, opened, registers, irq, factorial };
}

/** Which steps a piece of kernel code asks at. */
function stepsOf(run: (oracle: Oracle) => void): string[] {
  const steps: string[] = [];
  run({
    asksAtSteps: true,
    choose: (_n, tag, step) => {
      if (tag === 'step.signal' && step !== undefined) steps.push(step);
      return 0;
    },
  });
  return steps;
}

describe.each(PROFILES)('on %s', (profile) => {
  test('P6 open: whichever of its allocations fails, it is ENOMEM, and the line is free for the next open', () => {
    for (const nth of [1, 2]) {
      // The machine's own first allocation is the page that the setup maps.
      const { s, oracle } = setup(profile, [{ tag: 'alloc.fail', nth: 1 + nth }]);
      expect(s.open()).toBe(-ENOMEM);
      expect(oracle.unused).toEqual([]);
      expect(s.open()).toBeGreaterThanOrEqual(0);
    }
  });

  test('U1 usr_pci_open: whichever of its allocations fails, it is ENOMEM, and the next open has the device', () => {
    for (let nth = 1; ; nth++) {
      const { s, oracle } = setup(profile, [{ tag: 'alloc.fail', nth: 1 + nth }], { devices: [new EduDevice()] });
      const first = s.thread.usrPciOpen(0, 4, 0, DMA_MASK);
      if (oracle.unused.length > 0) {
        expect(nth).toBeGreaterThan(2);
        break;
      }
      expect(first).toBe(-ENOMEM);
      expect(s.thread.usrPciOpen(0, 4, 0, DMA_MASK)).toBeGreaterThanOrEqual(0);
    }
  });

  test('mmap is ENOMEM when the allocation fails, and takes nothing', () => {
    const { s } = setup(profile, [{ tag: 'alloc.fail', nth: 2 }]);
    const before = s.machine.memory.usedFrames;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    expect(s.thread.mmap(virtualAddress(0), 4096, PROT_READ, flags, -1, 0n)).toBe(-ENOMEM);
    expect(s.machine.memory.usedFrames).toBe(before);
  });

  test('U1 a device that cannot be enabled gives its own error', () => {
    const { s } = setup(profile, [{ tag: 'pci.enable' }], { devices: [new EduDevice()] });
    expect(s.thread.usrPciOpen(0, 4, 0, DMA_MASK)).toBeLessThan(0);
  });

  test('P3 P4 a signal at whichever step of a read that waits is EINTR, and the next interrupt is counted once', async () => {
    const steps = stepsOf((oracle) => {
      const s = new Setup(profile, { oracle });
      s.read(s.open());
    });
    const inRead = steps.slice(steps.indexOf('open.requested') + 1);
    expect(inRead).toContain(profile === 'chubb-2.6.11' ? 'R3c' : 'prepare_to_wait');
    for (const step of new Set(inRead)) {
      const { s, oracle } = setup(profile, [{ tag: 'step.signal', step }]);
      const fd = s.open();
      expect(await s.read(fd), step).toBe(-EINTR);
      expect(oracle.unused).toEqual([]);
      s.interrupt();
      expect(await s.read(fd), step).toBe(4);
      expect(s.count).toBe(1);
    }
  });

  test('P3 a signal at whichever step of a read that finds a count: the count arrives', async () => {
    const pending = (oracle: Oracle) => {
      const s = new Setup(profile, { oracle });
      const fd = s.open();
      s.interrupt();
      return { s, result: s.read(fd) };
    };
    const steps = stepsOf((oracle) => void pending(oracle));
    for (const step of new Set(steps.slice(steps.indexOf('open.requested') + 1))) {
      const { s, result } = pending(faults([{ tag: 'step.signal', step }]));
      expect(await result, step).toBe(4);
      expect(s.count).toBe(1);
    }
  });

  test('P4 with SA_RESTART a signal at the step of going to sleep restarts the read', async () => {
    const { s } = setup(profile, [{ tag: 'step.signal', step: 'schedule' }]);
    s.thread.sigaction(SIGUSR1, { handler: () => {}, flags: SA_RESTART });
    const fd = s.open();
    s.kernel.process.signals.queue(s.thread.tasks[0] ?? expect.fail('no task'), SIGUSR1);
    const reading = s.read(fd);
    expect(await s.sleeps(reading)).toBe(true);
    s.interrupt();
    expect(await reading).toBe(4);
  });

  test('P11 a signal during close does not interrupt the read after it', async () => {
    for (const step of stepsOf((oracle) => {
      const s = new Setup(profile, { oracle });
      s.thread.close(s.open());
    })) {
      const { s } = setup(profile, [{ tag: 'step.signal', step, nth: 2 }]);
      s.thread.close(s.open());
      const fd = s.open();
      expect(await s.sleeps(s.read(fd)), step).toBe(true);
    }
  });

  test('P2 a spurious interrupt is counted like any other: the driver has to ask its device', async () => {
    const { s, oracle } = setup(profile, [{ tag: 'interrupt.spurious', step: 'schedule' }]);
    const fd = s.open();
    expect(await s.read(fd)).toBe(4);
    expect(s.count).toBe(1);
    expect(oracle.describe()).toEqual([expect.stringMatching(/^interrupt.spurious: .* at step schedule$/)]);
    const next = s.read(fd);
    s.interrupt();
    expect(await next).toBe(4);
    expect(s.count).toBe(1);
  });

  test('a spurious interrupt can be of any line in use', () => {
    const spurious: Fault = { tag: 'interrupt.spurious', step: profile === 'chubb-2.6.11' ? 'R2c' : 'arm' };
    const counts = [[spurious], [spurious, { tag: 'interrupt.line' } as const]].map((plan) => {
      const { s } = setup(profile, plan);
      const fd = s.open(O_NONBLOCK);
      s.open(O_NONBLOCK, '/proc/irq/17/irq');
      s.read(fd);
      return [16, 17].map((irq) => s.machine.irqs.desc(irq)?.counts.reduce((sum, count) => sum + count, 0));
    });
    expect(counts).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  test('P9 a lost assertion of a level line is not delivered, the one after the device let go is', async () => {
    const { s } = setup(profile, [{ tag: 'interrupt.lost' }]);
    const fd = s.open();
    const reading = s.read(fd);
    s.raise();
    expect(await s.sleeps(reading)).toBe(true);
    s.lower();
    s.raise();
    expect(await reading).toBe(4);
  });

  test('I8 a lost edge is lost', async () => {
    const { s } = setup(profile, [{ tag: 'interrupt.lost' }]);
    const fd = s.open(0, '/proc/irq/9/irq');
    const reading = s.read(fd);
    const edge = () => {
      s.machine.line(9).pulse();
      s.machine.kick();
    };
    edge();
    expect(await s.sleeps(reading)).toBe(true);
    edge();
    expect(await reading).toBe(4);
    expect(s.count).toBe(1);
  });

  test('P10 a device that stalls never completes: a poll runs into its timeout', async () => {
    const { irq, factorial, registers, backend } = edu(profile, [{ tag: 'device.stall' }]);
    factorial(5);
    expect(await irq.poll({ timeoutMs: 3000 })).toBe(false);
    expect(registers.read32(0x20) & 1).toBe(1);
    backend.close();
  });

  test.each([
    [1, 0],
    [2, 100],
    [3, 10_000],
  ])('device.delay = %i: 10 us of work are done after %i us', async (way, us) => {
    const { irq, factorial, registers, backend, device } = edu(profile, [{ tag: 'device.delay', way }]);
    const start = backend.clock.now();
    factorial(0);
    await irq.read();
    expect(Number(backend.clock.now() - start) / 1000).toBeCloseTo(us, -1);
    expect(registers.read32(0x08)).toBe(1);
    expect(device.errors).toEqual([]);
    backend.close();
  });

  test('M2 a DMA error moves nothing, and stands in the status register', async () => {
    const { opened, registers, irq, device, backend, oracle } = edu(profile, [{ tag: 'dma.error' }]);
    using page = opened.dma.allocConsistent(4096);
    page.bytes.fill(7);
    const transfer = async () => {
      registers.write64(0x80, BigInt(page.busAddress));
      registers.write64(0x88, 0x40000n);
      registers.write64(0x90, 16n);
      registers.write64(0x98, 5n);
      await irq.read();
      registers.write32(0x64, registers.read32(0x24));
      return device.buffer[0];
    };
    expect(await transfer()).toBe(0);
    const RECEIVED_MASTER_ABORT = 0x2000;
    expect(opened.config.read16(PCI_STATUS) & RECEIVED_MASTER_ABORT).toBe(RECEIVED_MASTER_ABORT);
    expect(await transfer()).toBe(7);
    expect(backend.machine.dmaDebug.reports).toEqual([]);
    expect(oracle.unused).toEqual([]);
    backend.close();
  });

  test('U4 a mapping that the IOMMU has no room for is refused, and nothing stays pinned', () => {
    const { opened, backend } = edu(profile, [{ tag: 'dma.map' }]);
    const memory = opened.dma.allocUser(8192);
    expect(() => opened.dma.map(memory, 'to-device')).toThrow(/ENOMEM|EIO/);
    opened.dma.map(memory, 'to-device').unmap();
    expect(backend.machine.memory.pinned).toBe(0);
    backend.close();
  });

  test('M3 merged entries cover the same bytes', () => {
    const { opened, backend } = edu(profile, [{ tag: 'dma.merge' }]);
    const memory = opened.dma.allocUser(8192);
    expect(opened.dma.map(memory, 'to-device').segments.map(({ length }) => length)).toEqual([8192]);
    backend.close();
  });

  test('D13 a device pulled out at the nth access reads all ones; 6.1 tells who waits for its interrupt', async () => {
    const { oracle } = edu(profile, []);
    const accesses = oracle.tags.filter((tag) => tag === 'device.remove').length;
    const { irq, registers, backend } = edu(profile, [{ tag: 'device.remove', nth: accesses + 3 }]);
    const reading = irq.read().catch((error) => error);
    const identification = 0x0100_00ed;
    expect([registers.read32(0), registers.read32(0)]).toEqual([identification, identification]);
    expect(registers.read32(0)).toBe(0xffff_ffff);
    expect(backend.machine.pci.functions()).toEqual([]);
    if (profile === 'usrdrv-6.1') expect(await reading).toMatchObject({ errno: -ENODEV });
    backend.close();
    await reading;
  });

  test('U5 memory of a device that was pulled out is given back as ever', () => {
    const { opened, backend } = edu(profile, []);
    const memory = opened.dma.allocUser(8192);
    const mapping = opened.dma.map(memory, 'to-device');
    backend.machine.pci.unplug(SLOT);
    mapping.unmap();
    memory.free();
    expect(backend.machine.memory.pinned).toBe(0);
    backend.close();
  });
});

test('P13 a line that is stuck gives one count a read, not a storm', async () => {
  const { s } = setup('usrdrv-6.1', []);
  const fd = s.open();
  s.raise();
  for (let nth = 0; nth < 3; nth++) expect(await s.read(fd)).toBe(4);
  expect(s.count).toBe(1);
});

test('an interrupt goes to the processor that is chosen', async () => {
  const { s } = setup('usrdrv-6.1', [{ tag: 'interrupt.route' }]);
  s.open();
  s.interrupt();
  expect(s.machine.irqs.desc(16)?.counts).toEqual([0, 1]);
});
