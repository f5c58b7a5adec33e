import { afterEach, describe, expect, test, vi } from 'vitest';
import { progress, styleOf } from './terminal.ts';

afterEach(() => vi.unstubAllEnvs());

/** As much of a stream as the bar needs, and what was written to it. */
function stream(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text) > 0 };
}

describe('colour', () => {
  test('is there on a terminal', () => {
    vi.stubEnv('NO_COLOR', undefined);
    vi.stubEnv('TERM', 'xterm');
    expect(styleOf({ isTTY: true }).green('yes')).toBe('\x1b[32myes\x1b[39m');
  });

  test.each([
    ['in a pipe', { isTTY: false }, {}],
    ['where NO_COLOR is set', { isTTY: true }, { NO_COLOR: '1' }],
    ['on a dumb terminal', { isTTY: true }, { TERM: 'dumb' }],
  ])('is not there %s', (_, to, env) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    expect(styleOf(to).bold('yes')).toBe('yes');
  });
});

describe('the progress bar', () => {
  test('is drawn in place on a terminal, and taken off at the end', () => {
    const to = stream(true);
    const bar = progress(to);
    bar.show(0.5, () => 'half');
    bar.end();
    expect(to.written).toEqual([`\r${'█'.repeat(15)}${'░'.repeat(15)}  50 %  half\x1b[K`, '\r\x1b[K']);
  });

  test('is not redrawn for every step', () => {
    const to = stream(true);
    const bar = progress(to);
    for (let step = 0; step < 1000; step++) bar.show(step / 1000, () => '');
    expect(to.written.length).toBeLessThan(1000);
  });

  test('shows nothing off a terminal', () => {
    const to = stream(false);
    const bar = progress(to);
    bar.show(0.5, () => 'half');
    bar.end();
    expect(to.written).toEqual([]);
  });
});
