import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { programs } from './arbitrary.ts';
import { checkPrograms, compare, predict } from './check-programs.ts';
import { decodeProgram, encodeProgram, type Program, showProgram } from './program.ts';

const bed = { setup: () => emulatedTarget('usrdrv-6.1'), teardown: endTarget };

const ROUND: Program = {
  calls: [
    { call: 'open', path: 'irq', flags: 0o4000 },
    { call: 'raise', bits: 1 },
    { call: 'read', fd: 0, buf: 'ok', count: 4, meanwhile: 'signal' },
    { call: 'read', fd: 0, buf: 'ok', count: 4, meanwhile: 'signal' },
    { call: 'acknowledge', bits: 1 },
    { call: 'read', fd: 0, buf: 'null', count: 4, meanwhile: 'signal' },
  ],
};

test('the model says what the rules say', () => {
  expect(predict(ROUND, 'usrdrv-6.1').log).toEqual(['fd 0', '', '4: 1', '4: 1', '', '-EAGAIN']);
  // D7
  expect(predict(ROUND, 'chubb-2.6.11').log).toEqual(['fd 0', '', '4: 1', '-EAGAIN', '', '-EFAULT']);
});

test('a program reads as lines', () => {
  expect(showProgram(ROUND).split('\n').slice(0, 3)).toEqual([
    '  0  open(path irq, flags 04000)',
    '  1  raise(bits 1)',
    '  2  read(fd 0, buf ok, count 4), asleep: signal',
  ]);
});

test('a program is JSON, and its token gives it back', () => {
  fc.assert(
    fc.property(programs(), (program) => {
      expect(decodeProgram(encodeProgram(program))).toEqual(program);
      expect(JSON.parse(JSON.stringify(program))).toEqual(program);
    }),
    { numRuns: 100 },
  );
});

test.each(['', 'no token', '%', 'MQ'])('%j is refused as a token', (token) => {
  expect(() => decodeProgram(token)).toThrow(TypeError);
});

test('a program that is run shows each result, and what the model says where it differs', async () => {
  expect((await compare(ROUND, bed)).split('\n')[2]).toBe('  2  read(fd 0, buf ok, count 4), asleep: signal = 4: 1');
});

test('a kernel that differs is found, and the program that shows it is short', async () => {
  const found = checkPrograms({
    ...bed,
    runs: 1000,
    seed: 1,
    setup: () => {
      const target = emulatedTarget('usrdrv-6.1');
      const { thread } = target.kernel.process;
      const dup = thread.dup.bind(thread);
      // Against POSIX: not the lowest free descriptor.
      thread.dup = (fd) => {
        const [first, second] = [dup(fd), dup(fd)];
        if (first >= 0) thread.close(first);
        return second;
      };
      return target;
    },
  });
  const message = await found.then(
    () => '',
    (error: Error) => error.message,
  );
  const [, ...lines] = message.split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/^ {2}1 {2}dup\(fd 0\) = fd 2 {4}<-- the model says fd 1$/);
  expect(lines[2]).toMatch(/^seed 1, path [\d:]+, program [\w-]+$/);
});
