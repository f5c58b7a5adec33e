import { expect, test } from 'vitest';
import { checkResult, EBUSY, ENOENT, errnoName, isErrnoCode, SystemError } from './errors.ts';

test('a SystemError has the shape of those of Node', () => {
  const error = new SystemError('EBUSY', 'open', { path: '/proc/irq/11/irq', detail: 'held by led' });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'SystemError', code: 'EBUSY', errno: -16, syscall: 'open' });
  expect(error.message).toBe("EBUSY: resource busy or locked, open '/proc/irq/11/irq' (held by led)");
  expect(new SystemError('EBADF', 'read')).not.toHaveProperty('path');
});

test('a result of -errno becomes its error, any other stays', () => {
  expect(checkResult(0, 'read')).toBe(0);
  expect(checkResult(4, 'read')).toBe(4);
  expect(() => checkResult(-ENOENT, 'open', '/x')).toThrow(expect.objectContaining({ code: 'ENOENT', path: '/x' }));
  expect(() => checkResult(-9999, 'open')).toThrow(/^EIO: .*errno 9999/);
});

test('error numbers have names', () => {
  expect(errnoName(EBUSY)).toBe('EBUSY');
  expect(errnoName(-EBUSY)).toBe('EBUSY');
  expect(errnoName(9999)).toBe('E9999');
  expect(isErrnoCode('EBUSY')).toBe(true);
  expect(isErrnoCode('toString')).toBe(false);
  expect(isErrnoCode(16)).toBe(false);
});
