import { EAGAIN, EINVAL, O_NONBLOCK } from '@usrdrv/core';
import type { Ability } from '../bench.ts';
import type { Case } from '../case.ts';
import { requested, state } from './interrupt-core.ts';

const KERNEL: readonly Ability[] = ['lines', 'kernel-driver', 'irq-desc'];

/** I5, I8 and I9: what happens between a device's request and its handler. */
export const interruptFlowCases: readonly Case[] = [
  {
    id: 'I5',
    level: 'syscall',
    title: 'an edge is counted, handled, and done with',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const calls = requested(t, edge.irq);
      for (const expected of [1, 2, 3]) {
        await edge.pulse();
        t.equal([calls.count, t.taken(edge.irq)], [expected, expected], 'handler calls and interrupts taken');
        const { pending, inProgress } = t.desc(edge.irq);
        t.equal([pending, inProgress], [false, false], 'pending and in progress afterwards');
      }
    },
  },
  {
    id: 'I5',
    level: 'syscall',
    title: 'an edge that comes while the handler runs makes it run again, once',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      let runs = 0;
      const handler = (again: () => void): boolean => {
        if (++runs === 1) {
          again();
          again();
        }
        return true;
      };
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId: {}, handler }), 0, 'request_irq');
      await edge.pulse();
      t.equal(runs, 2, 'runs of the handler');
    },
  },
  {
    id: 'I5',
    level: 'syscall',
    title: 'the re-run does not look at DISABLED',
    kernel: 'chubb-2.6.11',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      let runs = 0;
      const handler = (again: () => void): boolean => {
        if (++runs === 1) {
          t.kernelDriver.disableIrq(edge.irq);
          again();
        }
        return true;
      };
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId: {}, handler }), 0, 'request_irq');
      await edge.pulse();
      t.equal(runs, 2, 'runs of the handler');
    },
  },
  {
    id: 'I5',
    level: 'syscall',
    title: 'an asserted level is handled again after each end of interrupt, until it is let go',
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      let runs = 0;
      const handler = (): boolean => {
        if (++runs === 5) level.lower();
        return true;
      };
      t.result(t.kernelDriver.requestIrq(level.irq, { devId: {}, handler }), 0, 'request_irq');
      await level.raise();
      t.equal(runs, 5, 'runs of the handler');
    },
  },
  {
    id: 'I5',
    level: 'syscall',
    title: 'every handler of a shared line runs',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const runs: string[] = [];
      for (const [name, handled] of [
        ['first', false],
        ['second', true],
      ] as const) {
        const handler = (): boolean => runs.push(name) > 0 && handled;
        t.result(t.kernelDriver.requestIrq(edge.irq, { shared: true, devId: {}, handler }), 0, 'request_irq');
      }
      await edge.pulse();
      t.equal(runs, ['first', 'second'], 'handlers run');
    },
  },
  {
    id: 'I5',
    level: 'syscall',
    title: 'an interrupt that no device asked for is counted like any other',
    needs: ['edu', 'spurious-interrupts'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      await t.bench.spuriousInterrupt?.(t.edu.irq);
      t.equal(await t.count(fd), 1, 'the count');
      t.result(await t.count(fd), -EAGAIN, 'the next read');
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: '8259: masked while the handler runs, unmasked after it',
    machine: { interrupts: '8259' },
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      const seen: boolean[] = [];
      const handler = (): boolean => {
        seen.push(t.desc(level.irq).masked);
        level.lower();
        return true;
      };
      t.result(t.kernelDriver.requestIrq(level.irq, { devId: {}, handler }), 0, 'request_irq');
      await level.raise();
      t.equal(seen, [true], 'masked in the handler');
      t.equal(state(t, level.irq), '', 'state after it');
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: '8259: a line that its handler disabled stays masked',
    machine: { interrupts: '8259' },
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      const handler = (): boolean => {
        t.kernelDriver.disableIrq(level.irq);
        level.lower();
        return true;
      };
      t.result(t.kernelDriver.requestIrq(level.irq, { devId: {}, handler }), 0, 'request_irq');
      await level.raise();
      t.equal(state(t, level.irq), 'disabled masked', 'state after it');
      t.kernelDriver.enableIrq(level.irq);
      t.equal(state(t, level.irq), '', 'state after enabling');
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: '8259: the irq file works as on the I/O APIC',
    machine: { interrupts: '8259' },
    needs: ['edu'],
    async run(t) {
      const fd = t.openIrq(O_NONBLOCK);
      for (let round = 0; round < 3; round++) {
        await t.edu.raise(1);
        t.equal(await t.count(fd), 1, 'the count');
        await t.edu.acknowledge(1);
        t.result(await t.count(fd), -EAGAIN, 'the next read');
      }
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: 'I/O APIC level: unmasked while the handler runs',
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      const seen: boolean[] = [];
      const handler = (): boolean => {
        seen.push(t.desc(level.irq).masked);
        level.lower();
        return true;
      };
      t.result(t.kernelDriver.requestIrq(level.irq, { devId: {}, handler }), 0, 'request_irq');
      await level.raise();
      t.equal(seen, [false], 'masked in the handler');
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: 'I/O APIC edge: the first edge while disabled is kept and masks the pin or the next does; all become one',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const calls = requested(t, edge.irq);
      t.kernelDriver.disableIrq(edge.irq);
      t.equal(t.desc(edge.irq).masked, false, 'masked by disabling');
      await edge.pulse();
      const { pending } = t.desc(edge.irq);
      t.equal(pending, true, 'pending after one edge');
      for (let pulse = 0; pulse < 4; pulse++) await edge.pulse();
      t.equal([t.desc(edge.irq).masked, calls.count], [true, 0], 'masked and handler calls after five edges');
      t.kernelDriver.enableIrq(edge.irq);
      await edge.lower();
      t.equal([state(t, edge.irq), calls.count], ['', 1], 'state and handler calls after enabling');
    },
  },
  {
    id: 'I8',
    level: 'syscall',
    title: 'I/O APIC edge: the first edge while disabled does not mask yet',
    kernel: 'chubb-2.6.11',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      requested(t, edge.irq);
      t.kernelDriver.disableIrq(edge.irq);
      await edge.pulse();
      t.equal(t.desc(edge.irq).masked, false, 'masked after one edge');
      await edge.pulse();
      t.equal(t.desc(edge.irq).masked, true, 'masked after two');
    },
  },
  {
    id: 'I9',
    level: 'syscall',
    title: 'disabling is lazy: the line fires once more, is masked then, and the handler is not called',
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      const calls = requested(t, level.irq);
      t.kernelDriver.disableIrq(level.irq);
      t.equal(t.desc(level.irq).masked, false, 'masked by disabling');
      await level.raise();
      t.equal([t.desc(level.irq).masked, calls.count], [true, 0], 'masked and handler calls');
    },
  },
  {
    id: 'I9',
    level: 'syscall',
    title: 'the edge re-run looks at DISABLED',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      let runs = 0;
      const handler = (again: () => void): boolean => {
        if (++runs === 1) {
          t.kernelDriver.disableIrq(edge.irq);
          again();
        }
        return true;
      };
      t.result(t.kernelDriver.requestIrq(edge.irq, { devId: {}, handler }), 0, 'request_irq');
      await edge.pulse();
      t.equal([runs, t.desc(edge.irq).pending], [1, true], 'runs of the handler, and pending');
    },
  },
  {
    id: 'I9',
    level: 'syscall',
    title: 'a level that went away while the line was disabled is not replayed',
    needs: KERNEL,
    async run(t) {
      const { level } = t.lines;
      const calls = requested(t, level.irq);
      t.kernelDriver.disableIrq(level.irq);
      await level.raise();
      await level.lower();
      t.kernelDriver.enableIrq(level.irq);
      await level.lower();
      t.equal([calls.count, t.desc(level.irq).pending], [0, false], 'handler calls, and pending');
    },
  },
  {
    id: 'I9',
    level: 'syscall',
    title: 'a driver that requests the line gets an edge that came while nobody had it',
    needs: KERNEL,
    async run(t) {
      const { edge } = t.lines;
      const first = requested(t, edge.irq);
      t.kernelDriver.disableIrq(edge.irq);
      await edge.pulse();
      t.kernelDriver.freeIrq(edge.irq, first);
      const second = requested(t, edge.irq);
      await edge.lower();
      t.equal([first.count, second.count], [0, 1], 'calls of the first and the second handler');
    },
  },
  {
    id: 'I9',
    level: 'syscall',
    title: 'a line without a descriptor is EINVAL',
    needs: KERNEL,
    run(t) {
      t.result(t.kernelDriver.requestIrq(200, { devId: {}, handler: () => true }), -EINVAL, 'request_irq');
    },
  },
];
