import { EBUSY, EINVAL, ENOSYS } from '@usrdrv/core';
import { describe, expect, test } from 'vitest';
import { calm } from '../explore/oracle.ts';
import { VirtualClock } from '../machine/clock.ts';
import { Cpus } from '../machine/cpu.ts';
import { IoApic } from '../machine/io-apic.ts';
import { IrqLine } from '../machine/irq-line.ts';
import { MsiController } from '../machine/msi.ts';
import { Pic8259 } from '../machine/pic-8259.ts';
import { TraceLog } from '../trace/log.ts';
import { IrqCore2611 } from './irq-core-2.6.11.ts';
import { IrqCore61 } from './irq-core-6.1.ts';
import {
  IRQ_DISABLED,
  IRQ_HANDLED,
  IRQ_NONE,
  IRQ_PENDING,
  IRQF_SHARED,
  type IrqAction,
  type IrqCore,
  type IrqReturn,
} from './irq-desc.ts';

const LEVEL = 16;
const EDGE = 4;

function machine(version: '2.6.11' | '6.1', controller: 'io-apic' | '8259' = 'io-apic') {
  const cpus = new Cpus(2);
  const fabric = { cpus, oracle: calm, trace: new TraceLog(new VirtualClock()) };
  const chip = controller === 'io-apic' ? new IoApic(fabric) : new Pic8259(fabric);
  const msi = new MsiController(fabric, 24);
  const core: IrqCore = version === '6.1' ? new IrqCore61(chip, msi, fabric) : new IrqCore2611(chip, fabric);
  const lines = new Map<number, IrqLine>();
  const line = (irq: number): IrqLine => {
    const known = lines.get(irq) ?? new IrqLine(irq, chip, fabric);
    lines.set(irq, known);
    return known;
  };
  const settle = (): void => {
    for (const cpu of cpus.all) {
      for (let irq = cpu.take(); irq !== undefined; irq = cpu.take()) {
        cpu.irqsOff++;
        run(core.handle(cpu, irq));
        cpu.irqsOff--;
      }
    }
  };
  return { core, chip, cpus, line, settle, msi };
}

/** A handler that counts, and does to its line what the irq file's does. */
function counting(core: IrqCore, o: { disables?: boolean; returns?: IrqReturn; shared?: boolean } = {}) {
  const devId = { calls: 0 };
  const action: IrqAction = {
    *handler(_cpu, irq) {
      devId.calls++;
      if (o.disables === true) core.disableNosync(irq);
      return o.returns ?? IRQ_HANDLED;
    },
    flags: o.shared === true ? IRQF_SHARED : 0,
    name: 'test',
    devId,
  };
  return { action, devId };
}

/** Runs a flow to its end. */
function run(flow: Iterator<unknown, void> | undefined): void {
  while (flow !== undefined && flow.next().done !== true);
}

describe.each(['2.6.11', '6.1'] as const)('the interrupt core of %s', (version) => {
  test('I1 a shared request without a device id is EINVAL, and a number without a line is an error of its own', () => {
    const { core } = machine(version);
    expect(core.request(LEVEL, { ...counting(core).action, flags: IRQF_SHARED, devId: undefined })).toBe(-EINVAL);
    expect(core.request(-1, counting(core).action)).toBe(-EINVAL);
    expect(core.request(1.5, counting(core).action)).toBe(-EINVAL);
    expect(core.request(200, counting(core).action)).toBe(version === '6.1' ? -EINVAL : -ENOSYS);
  });

  test('I1 a second action is EBUSY unless both share', () => {
    const { core } = machine(version);
    expect(core.request(LEVEL, counting(core, { shared: true }).action)).toBe(0);
    expect(core.request(LEVEL, counting(core).action)).toBe(-EBUSY);
    expect(core.request(LEVEL, counting(core, { shared: true }).action)).toBe(0);
  });

  test('I2 a line that is held when it is requested delivers once', () => {
    const { core, line, settle } = machine(version);
    const { action, devId } = counting(core, { disables: true });
    line(LEVEL).raise(line);
    core.request(LEVEL, action);
    settle();
    expect(devId.calls).toBe(1);
  });

  test('I3 I4 disables nest, and the line delivers again only after as many enables', () => {
    const { core, line, settle } = machine(version);
    const { action, devId } = counting(core);
    core.request(LEVEL, action);
    core.disableNosync(LEVEL);
    core.disableNosync(LEVEL);
    line(LEVEL).raise(line);
    settle();
    core.enable(LEVEL);
    settle();
    expect(devId.calls).toBe(0);
    core.disableNosync(LEVEL);
    core.enable(LEVEL);
    core.enable(LEVEL);
    // A held line that nobody masks would deliver for ever: take one.
    run(core.handle(machine(version).cpus.boot, LEVEL));
    expect(core.desc(LEVEL)?.depth).toBe(0);
    expect(devId.calls).toBe(1);
  });

  test('I4 an enable too many warns and changes nothing', () => {
    const { core } = machine(version);
    core.request(LEVEL, counting(core).action);
    core.enable(LEVEL);
    expect(core.warnings).toHaveLength(1);
    expect(core.desc(LEVEL)?.depth).toBe(0);
  });

  test('I5 I8 edges on a disabled line collapse into one replay', () => {
    const { core, line, settle } = machine(version);
    const { action, devId } = counting(core);
    core.request(EDGE, action);
    core.disableNosync(EDGE);
    for (let i = 0; i < 5; i++) {
      line(EDGE).pulse();
      settle();
    }
    expect(devId.calls).toBe(0);
    core.enable(EDGE);
    settle();
    expect(devId.calls).toBe(1);
  });

  test('I6 100,000 interrupts that nobody handles disable the line', () => {
    const { core, cpus } = machine(version);
    core.request(LEVEL, counting(core, { returns: IRQ_NONE }).action);
    for (let i = 0; i < 99_999; i++) run(core.handle(cpus.boot, LEVEL));
    expect((core.desc(LEVEL)?.status ?? 0) & IRQ_DISABLED).toBe(0);
    run(core.handle(cpus.boot, LEVEL));
    expect((core.desc(LEVEL)?.status ?? 0) & IRQ_DISABLED).toBe(IRQ_DISABLED);
    expect(core.desc(LEVEL)?.depth).toBe(version === '6.1' ? 1 : 0);
    expect(core.warnings[0]).toContain('nobody cared');
  });

  test('I7 freeing the last action shuts the line down', () => {
    const { core, line, settle, chip } = machine(version);
    const { action, devId } = counting(core);
    core.request(LEVEL, action);
    core.free(LEVEL, devId);
    expect(chip.isMasked(LEVEL)).toBe(true);
    line(LEVEL).raise(line);
    settle();
    expect(devId.calls).toBe(0);
    expect(core.request(LEVEL, counting(core).action)).toBe(0);
  });

  test('I8 an 8259 line is masked while it is handled and unmasked after, unless it was disabled', () => {
    const { core, line, settle, chip } = machine(version, '8259');
    const first = counting(core);
    core.request(11, first.action);
    line(11).raise(line);
    line(11).lower(line);
    settle();
    expect(chip.isMasked(11)).toBe(false);
    core.free(11, first.devId);
    const second = counting(core, { disables: true });
    core.request(11, second.action);
    line(11).raise(line);
    settle();
    expect(chip.isMasked(11)).toBe(true);
    expect(second.devId.calls).toBe(1);
  });
});

describe('I9 where 6.1 differs', () => {
  test('disabling is lazy: the line fires once more, is masked then, and no handler is called', () => {
    const { core, line, settle, chip } = machine('6.1');
    const { action, devId } = counting(core);
    core.request(LEVEL, action);
    core.disableNosync(LEVEL);
    expect(chip.isMasked(LEVEL)).toBe(false);
    line(LEVEL).raise(line);
    settle();
    expect(chip.isMasked(LEVEL)).toBe(true);
    expect(devId.calls).toBe(0);
  });

  test('what a level line had pending is dropped when it is enabled', () => {
    const { core, line, settle } = machine('6.1');
    const { action, devId } = counting(core);
    core.request(LEVEL, action);
    core.disableNosync(LEVEL);
    line(LEVEL).raise(line);
    settle();
    line(LEVEL).lower(line);
    core.enable(LEVEL);
    settle();
    expect(devId.calls).toBe(0);
    expect((core.desc(LEVEL)?.status ?? 0) & IRQ_PENDING).toBe(0);
  });

  test('D9 an edge that was pending when the line was freed shows up at the next request', () => {
    const { core, line, settle } = machine('6.1');
    const first = counting(core, { disables: true });
    core.request(EDGE, first.action);
    line(EDGE).pulse();
    settle();
    line(EDGE).pulse();
    settle();
    core.free(EDGE, first.devId);
    const second = counting(core);
    core.request(EDGE, second.action);
    settle();
    expect(second.devId.calls).toBe(1);
  });

  test('a message vector that is disabled counts one replay for any number of messages', () => {
    const { core, msi, settle } = machine('6.1');
    const [irq = 0] = core.allocMsi(1) ?? [];
    const { action, devId } = counting(core, { disables: true });
    core.request(irq, action);
    const { address, data } = msi.message(irq);
    for (let i = 0; i < 4; i++) {
      msi.write(address, data);
      settle();
    }
    expect(devId.calls).toBe(1);
    core.enable(irq);
    settle();
    expect(devId.calls).toBe(2);
    core.freeMsi([irq]);
    expect(core.desc(irq)).toBeUndefined();
  });
});
