import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from './clock.ts';

describe('VirtualClock', () => {
  test('timers run at their time, in the order in which they were set where the time is the same', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 40 }), (delays) => {
        const clock = new VirtualClock();
        const ran: { time: number; index: number }[] = [];
        delays.forEach((delay, index) => {
          clock.after(delay, () => ran.push({ time: clock.now, index }));
        });
        while (clock.runNext());
        const expected = delays
          .map((time, index) => ({ time, index }))
          .sort((a, b) => a.time - b.time || a.index - b.index);
        expect(ran).toEqual(expected);
      }),
    );
  });

  test('advance runs exactly what is due, and stands at the end of the interval', () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.after(10, () => ran.push('10'));
    clock.after(11, () => ran.push('11'));
    clock.advance(10);
    expect(ran).toEqual(['10']);
    expect(clock.now).toBe(10);
  });

  test('a cancelled timer neither runs nor counts as pending', () => {
    const clock = new VirtualClock();
    const timer = clock.after(5, () => expect.unreachable());
    timer.cancel();
    expect(clock.pending).toBe(false);
    expect(clock.runNext()).toBe(false);
    expect(clock.now).toBe(0);
  });

  test('a timer may set another that is due in the same interval', () => {
    const clock = new VirtualClock();
    let ran = 0;
    clock.after(1, () => clock.after(1, () => ran++));
    clock.advance(2);
    expect(ran).toBe(1);
  });
});
