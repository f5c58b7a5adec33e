import type { IrqSource } from '@usrdrv/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EmulatedBackend } from '../../src/index.ts';
import { caught, code, EDU, EduMachine, PROFILES } from './edu-machine.ts';

describe.each(PROFILES)('IrqSource on %s', (kernel) => {
  let machine: EduMachine;
  let backend: EmulatedBackend;
  beforeEach(() => {
    machine = new EduMachine(kernel);
    backend = machine.backend;
  });
  afterEach(() => backend.close());

  test('P6 a line is held once', () => {
    using device = machine.open();
    using irq = device.irq();
    expect(() => device.irq()).toThrow(/^EBUSY: .* a process has it open/);
    expect(code(() => backend.openIrq(irq.line))).toBe('EBUSY');
  });

  test('a line that is no number is a RangeError, one that is not there ENOENT', () => {
    for (const line of [-1, 0.5, Number.NaN, 1e300, '5']) {
      expect(() => backend.openIrq(line as number)).toThrow(RangeError);
    }
    expect(code(() => backend.openIrq(123456))).toBe('ENOENT');
  });

  test('read() resolves with the count, and the line stays masked until the next wait', async () => {
    using device = machine.open();
    using irq = device.irq();
    const first = irq.read();
    machine.raise();
    expect(await first).toBe(1);
    // The line is still raised: it would have counted again.
    machine.acknowledge(device);
    expect(irq.tryRead()).toBeUndefined();
    const second = irq.read();
    machine.raise();
    expect(await second).toBe(1);
  });

  test('an interrupt before the read is not lost', async () => {
    using device = machine.open();
    using irq = device.irq();
    machine.raise();
    expect(await irq.read()).toBe(1);
  });

  test('each interrupt goes to one of the readers, the one that waits longest', async () => {
    using device = machine.open();
    using irq = device.irq();
    const order: string[] = [];
    const reads = ['a', 'b', 'c'].map((name) => irq.read().then((count) => order.push(`${name}${count}`)));
    for (let n = 1; n <= 3; n++) {
      // The reader that is served leaves its interrupt raised; the others wait, so the line is unmasked once more.
      machine.acknowledge(device);
      machine.raise();
      machine.acknowledge(device);
      await Promise.race([Promise.all(reads), backend.clock.sleep(1)]);
    }
    await Promise.all(reads);
    expect(order).toEqual(['a1', 'b1', 'c1']);
  });

  test('an aborted read rejects with the reason and consumes nothing', async () => {
    using device = machine.open();
    using irq = device.irq();
    const reason = new Error('enough');
    expect(await caught(irq.read({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const aborted = irq.read({ signal: controller.signal });
    const other = irq.read();
    controller.abort(reason);
    expect(await caught(aborted)).toBe(reason);
    machine.raise();
    expect(await other).toBe(1);

    machine.acknowledge(device);
    const last = new AbortController();
    const alone = irq.read({ signal: last.signal });
    last.abort(reason);
    const next = irq.read();
    expect(await caught(alone)).toBe(reason);
    machine.raise();
    expect(await next).toBe(1);
  });

  test('an interrupt that came as its reader gave up is for whoever asks next', async () => {
    using device = machine.open();
    using irq = device.irq();
    for (const ask of [() => irq.tryRead(), () => irq.read()]) {
      const caller = new AbortController();
      const given = irq.read({ signal: caller.signal });
      machine.raise();
      caller.abort(new Error('gave up'));
      await expect(given).rejects.toThrow('gave up');
      expect(await irq.poll({ timeoutMs: 0 })).toBe(true);
      expect(await ask()).toBe(1);
      machine.acknowledge(device);
      expect(irq.tryRead()).toBeUndefined();
    }
  });

  test('poll() says whether there is something to read, in the time of the machine', async () => {
    using device = machine.open();
    using irq = device.irq();
    expect(await irq.poll({ timeoutMs: 0 })).toBe(false);
    const start = backend.clock.now();
    expect(await irq.poll({ timeoutMs: 5.5 })).toBe(false);
    const later = backend.clock.now();
    expect(await irq.poll({ timeoutMs: 5e9 })).toBe(false);
    expect(backend.clock.now() - later).toBe(5_000_000_000_000_000n);
    expect(Number(backend.clock.now() - start)).toBeGreaterThanOrEqual(5.5e6);
    const waiting = irq.poll();
    machine.raise();
    expect(await waiting).toBe(true);
    expect(await irq.poll({ timeoutMs: 1000 })).toBe(true);
    expect(irq.tryRead()).toBe(1);
  });

  test('poll() is called off, and refuses times that are none', async () => {
    using device = machine.open();
    using irq = device.irq();
    for (const timeoutMs of [-1, Number.NaN, '5']) {
      expect(await caught(irq.poll({ timeoutMs: timeoutMs as number }))).toBeInstanceOf(RangeError);
    }
    const reason = new Error('enough');
    const controller = new AbortController();
    const waiting = irq.poll({ signal: controller.signal });
    const timed = irq.poll({ signal: controller.signal, timeoutMs: 1e9 });
    controller.abort(reason);
    expect(await caught(waiting)).toBe(reason);
    expect(await caught(timed)).toBe(reason);
    expect(await caught(irq.poll({ signal: controller.signal }))).toBe(reason);
  });

  test('closing rejects who waits with EBADF, ends iteration, and gives the line back', async () => {
    using device = machine.open();
    const irq = device.irq();
    const waits = [
      irq.read(),
      irq.poll(),
      irq.poll({ timeoutMs: 1e9 }),
      irq.poll({ signal: new AbortController().signal }),
    ];
    const iterating = collect(irq);
    irq.close();
    irq.close();
    for (const wait of waits) expect(await caught(wait)).toMatchObject({ code: 'EBADF' });
    expect(await iterating).toEqual([]);
    for (const late of [irq.read(), irq.poll()]) expect(await caught(late)).toMatchObject({ code: 'EBADF' });
    expect(code(() => irq.tryRead())).toBe('EBADF');
    device.irq().close();
  });

  test('iterating reads until the source is closed', async () => {
    using device = machine.open();
    const irq = device.irq();
    const counts: number[] = [];
    machine.raise();
    for await (const count of irq) {
      counts.push(count);
      machine.acknowledge(device);
      if (counts.length === 3) irq.close();
      else machine.raise();
    }
    expect(counts).toEqual([1, 1, 1]);
  });
});

describe('MSI', () => {
  test('a vector is an interrupt of its own; INTx is off meanwhile', async () => {
    using machine = new EduMachine();
    using device = machine.open();
    const intx = device.irq();
    expect(code(() => device.irq(0))).toBe('EBUSY');
    intx.close();
    const vector = device.irq(0);
    expect(vector.line).not.toBe(intx.line);
    expect(code(() => device.irq())).toBe('EBUSY');
    expect(code(() => device.irq(0))).toBe('EBUSY');
    expect(code(() => device.irq(1))).toBe('ENOSPC');
    const reading = vector.read();
    device.bar(0).write32(0x60, 1);
    expect(await reading).toBe(1);
    vector.close();
    device.irq().close();
    device.irq(0).close();
  });

  test('a vector that cannot be is a RangeError', () => {
    using machine = new EduMachine();
    using device = machine.open();
    for (const vector of [-1, 0.5, Number.NaN, '0', null])
      expect(() => device.irq(vector as number)).toThrow(RangeError);
  });

  test('the 2005 kernel has none', () => {
    using machine = new EduMachine('chubb-2.6.11');
    expect(machine.backend.supports.msi).toBe(false);
    using device = machine.open();
    expect(code(() => device.irq(0))).toBe('ENOSYS');
    device.irq().close();
  });
});

test('an unplugged device ends its waiting reads with ENODEV', async () => {
  using machine = new EduMachine();
  const device = machine.open();
  const reading = caught(device.irq().read());
  machine.backend.machine.pci.unplug(EDU);
  expect(await reading).toMatchObject({ code: 'ENODEV' });
  device.close();
});

async function collect(irq: IrqSource): Promise<number[]> {
  const counts: number[] = [];
  for await (const count of irq) counts.push(count);
  return counts;
}
