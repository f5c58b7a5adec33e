import { EBUSY, EINVAL, ENOMEM, ENOSYS } from '@usrdrv/core';
import type { Ability } from '../bench.ts';
import type { Case } from '../case.ts';
import type { Context } from '../context.ts';

/** What every case here needs: a line, a driver in the kernel to request it, and a look at its irq_desc. */
const KERNEL: readonly Ability[] = ['lines', 'kernel-driver', 'irq-desc'];

/** I1 to I4, I6 and I7: the functions that drivers in the kernel call, and the irq file with them. */
export const interruptCoreCases: readonly Case[] = [
  {
    id: 'I1',
    level: 'syscall',
    title: 'sharing without a dev_id is EINVAL',
    needs: KERNEL,
    run(t) {
      t.result(t.kernelDriver.requestIrq(t.lines.level.irq, { shared: true, handler }), -EINVAL, 'request_irq');
      t.equal(t.desc(t.lines.level.irq).actions, 0, 'handlers linked');
    },
  },
  {
    id: 'I1',
    level: 'syscall',
    title: 'a line out of range is EINVAL',
    needs: KERNEL,
    run(t) {
      for (const irq of [-1, 100_000, Number.NaN, 1.5]) {
        t.result(t.kernelDriver.requestIrq(irq, { devId: {}, handler }), -EINVAL, `line ${irq}`);
      }
    },
  },
  {
    id: 'I1',
    level: 'syscall',
    title: 'no handler is EINVAL, before the line is looked at',
    needs: KERNEL,
    run(t) {
      t.result(t.kernelDriver.requestIrq(t.lines.level.irq, { devId: {} }), -EINVAL, 'request_irq');
    },
  },
  {
    id: 'I1',
    level: 'syscall',
    title: 'an allocation that fails is ENOMEM, also for a line that is taken',
    needs: [...KERNEL, 'failing-allocations'],
    run(t) {
      const { irq } = t.lines.level;
      t.result(t.kernelDriver.requestIrq(irq, { devId: {}, handler }), 0, 'the first request_irq');
      t.faults.failAllocation(1);
      t.result(t.kernelDriver.requestIrq(irq, { devId: {}, handler }), -ENOMEM, 'the second request_irq');
      t.faults.allocationFailed();
    },
  },
  {
    id: 'I1',
    level: 'syscall',
    title: 'a line without a controller is ENOSYS',
    kernel: 'chubb-2.6.11',
    needs: KERNEL,
    run(t) {
      t.result(t.kernelDriver.requestIrq(200, { devId: {}, handler }), -ENOSYS, 'request_irq');
    },
  },
  {
    id: 'I1',
    level: 'syscall',
    title: 'a line that has an action is EBUSY, unless both share',
    needs: KERNEL,
    run(t) {
      const { irq } = t.lines.level;
      for (const [first, second] of [
        [false, false],
        [false, true],
        [true, false],
      ] as const) {
        const devId = {};
        t.result(t.kernelDriver.requestIrq(irq, { shared: first, devId, handler }), 0, 'the first request_irq');
        const beside = { shared: second, devId: {}, handler };
        t.result(t.kernelDriver.requestIrq(irq, beside), -EBUSY, `shared ${second} beside shared ${first}`);
        t.kernelDriver.freeIrq(irq, devId);
      }
      t.result(t.kernelDriver.requestIrq(irq, { shared: true, devId: {}, handler }), 0, 'the first of two sharers');
      t.result(t.kernelDriver.requestIrq(irq, { shared: true, devId: {}, handler }), 0, 'the second of two sharers');
      t.equal(t.desc(irq).actions, 2, 'handlers linked');
    },
  },
  {
    id: 'I2',
    level: 'syscall',
    title: 'the first action sets depth 0 and unmasks',
    needs: KERNEL,
    run(t) {
      for (const { irq } of [t.lines.level, t.lines.edge]) {
        t.equal(state(t, irq), 'disabled masked', 'before');
        t.result(t.kernelDriver.requestIrq(irq, { devId: {}, handler }), 0, 'request_irq');
        t.equal([t.desc(irq).depth, state(t, irq)], [0, ''], 'depth and state');
      }
    },
  },
  {
    id: 'I2',
    level: 'syscall',
    title: 'PENDING is kept from before, and nothing is sent again for it',
    kernel: 'chubb-2.6.11',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const first = requested(t, edge.irq);
      t.kernelDriver.disableIrq(edge.irq);
      await edge.pulse();
      t.kernelDriver.freeIrq(edge.irq, first);
      const second = requested(t, edge.irq);
      await edge.lower();
      t.equal([t.desc(edge.irq).pending, second.count], [true, 0], 'pending, and handler calls');
    },
  },
  {
    id: 'I2',
    level: 'syscall',
    title: 'a shared addition leaves depth and state alone',
    needs: KERNEL,
    run(t) {
      const { irq } = t.lines.level;
      t.result(t.kernelDriver.requestIrq(irq, { shared: true, devId: {}, handler }), 0, 'request_irq');
      t.kernelDriver.disableIrq(irq);
      t.result(t.kernelDriver.requestIrq(irq, { shared: true, devId: {}, handler }), 0, 'the second request_irq');
      t.equal([t.desc(irq).depth, t.desc(irq).disabled], [1, true], 'depth and disabled');
    },
  },
  {
    id: 'I3',
    level: 'syscall',
    title: 'disabling counts; the first time it sets DISABLED, and 2.6.11 masks a level line at once',
    needs: KERNEL,
    run(t) {
      const { irq } = t.lines.level;
      requested(t, irq);
      for (const depth of [1, 2, 3]) {
        t.kernelDriver.disableIrq(irq);
        t.equal([t.desc(irq).depth, t.desc(irq).disabled], [depth, true], 'depth and disabled');
      }
      t.equal(t.desc(irq).masked, t.kernel.profile === 'chubb-2.6.11', 'masked');
    },
  },
  {
    id: 'I4',
    level: 'syscall',
    title: 'enabling what is not disabled warns and changes nothing',
    needs: [...KERNEL, 'warnings'],
    run(t) {
      const { irq } = t.lines.level;
      requested(t, irq);
      const before = t.warnings().length;
      t.kernelDriver.enableIrq(irq);
      t.equal([t.desc(irq).depth, state(t, irq)], [0, ''], 'depth and state');
      t.equal(t.warnings().length - before, 1, 'warnings');
      t.ok(/unbalanced/i.test(t.warnings().at(-1) ?? ''), 'the warning says unbalanced');
    },
  },
  {
    id: 'I4',
    level: 'syscall',
    title: 'enabling undoes one disable; only the last one enables',
    needs: KERNEL,
    run(t) {
      const { irq } = t.lines.level;
      requested(t, irq);
      t.kernelDriver.disableIrq(irq);
      t.kernelDriver.disableIrq(irq);
      t.kernelDriver.enableIrq(irq);
      t.equal([t.desc(irq).depth, t.desc(irq).disabled], [1, true], 'depth and disabled after one');
      t.kernelDriver.enableIrq(irq);
      t.equal([t.desc(irq).depth, state(t, irq)], [0, ''], 'depth and state after both');
    },
  },
  {
    id: 'I4',
    level: 'syscall',
    title: 'enabling sends an edge again that came while the line was disabled',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const calls = requested(t, edge.irq);
      t.kernelDriver.disableIrq(edge.irq);
      await edge.pulse();
      t.equal([calls.count, t.desc(edge.irq).pending], [0, true], 'handler calls and pending');
      t.kernelDriver.enableIrq(edge.irq);
      await edge.lower();
      t.equal([calls.count, t.desc(edge.irq).pending], [1, false], 'handler calls and pending after enabling');
    },
  },
  {
    id: 'I6',
    level: 'syscall',
    title: 'of 100,000 interrupts more than 99,900 unhandled disable the line',
    needs: [...KERNEL, 'warnings'],
    async run(t) {
      const { edge } = t.lines;
      const devId = {};
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId, handler: () => false }), 0, 'request_irq');
      for (let pulse = 0; pulse < 99_999; pulse++) await edge.pulse();
      t.equal(t.desc(edge.irq).disabled, false, 'disabled after 99,999');
      await edge.pulse();
      t.equal(t.desc(edge.irq).disabled, true, 'disabled after 100,000');
      t.ok(/nobody cared/.test(t.warnings().at(-1) ?? ''), 'the warning says that nobody cared');
      if (t.kernel.profile === 'chubb-2.6.11') t.equal(t.desc(edge.irq).depth, 0, 'depth');
    },
  },
  {
    id: 'I6',
    level: 'syscall',
    title: 'of 100,000 interrupts 100 handled keep the line',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      let taken = 0;
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId: {}, handler: () => ++taken <= 100 }), 0, 'request_irq');
      for (let pulse = 0; pulse < 100_000; pulse++) await edge.pulse();
      t.equal([taken, t.desc(edge.irq).disabled], [100_000, false], 'handler calls and disabled');
    },
  },
  {
    id: 'I7',
    level: 'syscall',
    title: 'freeing the last action disables and masks, freeing one of two does not',
    needs: KERNEL,
    run(t) {
      const { irq } = t.lines.level;
      const [one, two] = [{}, {}];
      for (const devId of [one, two]) {
        t.result(t.kernelDriver.requestIrq(irq, { shared: true, devId, handler }), 0, 'request_irq');
      }
      t.kernelDriver.freeIrq(irq, one);
      t.equal([t.desc(irq).actions, state(t, irq)], [1, ''], 'handlers and state with one left');
      t.kernelDriver.freeIrq(irq, two);
      t.equal([t.desc(irq).actions, state(t, irq)], [0, 'disabled masked'], 'handlers and state with none left');
    },
  },
  {
    id: 'I7',
    level: 'syscall',
    title: 'closing the irq file frees the line as a driver does',
    needs: ['edu', 'irq-desc'],
    run(t) {
      const fd = t.openIrq();
      t.equal([t.desc(t.edu.irq).actions, t.desc(t.edu.irq).disabled], [1, false], 'handlers and disabled while open');
      t.result(t.thread.close(fd), 0, 'close');
      t.equal(
        [t.desc(t.edu.irq).actions, state(t, t.edu.irq)],
        [0, 'disabled masked'],
        'handlers and state after close',
      );
    },
  },
  {
    id: 'I7',
    level: 'syscall',
    title: 'freeing waits for handlers that run on another processor',
    never: 'only an interleaving of two processors shows it',
  },
];

function handler(): boolean {
  return true;
}

/** Requests a line with a handler that counts its calls. */
export function requested(t: Context, irq: number): { count: number } {
  const calls = { count: 0 };
  const counting = (): boolean => ++calls.count > 0;
  t.result(t.kernelDriver.requestIrq(irq, { devId: calls, handler: counting }), 0, 'request_irq');
  return calls;
}

/** What holds the line back: `disabled`, `masked`, both or nothing. */
export function state(t: Context, irq: number): string {
  const { disabled, masked } = t.desc(irq);
  return [disabled && 'disabled', masked && 'masked'].filter(Boolean).join(' ');
}
