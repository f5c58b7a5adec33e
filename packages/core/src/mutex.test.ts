import { expect, test } from 'vitest';
import { Mutex } from './mutex.ts';

test('those who wait get their turn in the order in which they came', async () => {
  const mutex = new Mutex();
  const order: string[] = [];
  const work = async (name: string) => {
    await mutex.lock();
    order.push(`${name} starts`);
    await Promise.resolve();
    order.push(`${name} ends`);
    mutex.unlock();
  };
  await Promise.all([work('a'), work('b'), work('c')]);
  expect(order).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends']);
});

test('who is called off while waiting rejects at once with the reason, and the turn goes to the next', async () => {
  const mutex = new Mutex();
  const controller = new AbortController();
  await mutex.lock();
  const calledOff = mutex.lock(controller.signal);
  const next = mutex.lock();
  controller.abort('enough');
  await expect(calledOff).rejects.toBe('enough');
  mutex.unlock();
  await next;
  mutex.unlock();
  await mutex.lock();
});

test('a signal that is aborted already takes no turn', async () => {
  const mutex = new Mutex();
  await expect(mutex.lock(AbortSignal.abort('no'))).rejects.toBe('no');
  await mutex.lock();
});

test('a signal that is aborted after the turn came does nothing', async () => {
  const mutex = new Mutex();
  const controller = new AbortController();
  await mutex.lock();
  const second = mutex.lock(controller.signal);
  mutex.unlock();
  controller.abort('late');
  await second;
});
