import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { snippetsOf } from './snippets.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'usrdrv-snippets-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function from(name: string, text: string) {
  const path = join(folder, name);
  writeFileSync(path, text);
  return snippetsOf(path, folder);
}

test('a ts block of a Markdown file is a snippet, with the line it opens on', () => {
  expect(from('a.md', 'text\n\n```ts file=toy.ts\nlet a = 1;\n```\n')).toEqual([
    { place: 'a.md:3', language: 'ts', file: 'toy.ts', noRun: undefined, code: 'let a = 1;\n' },
  ]);
});

test('a block in another language is none', () => {
  expect(from('a.md', '```json\n{}\n```\n```\nplain\n```\n')).toEqual([]);
});

test('no-run keeps its reason', () => {
  expect(from('a.md', '```ts no-run: needs a card\nf();\n```\n')[0]?.noRun).toBe('needs a card');
  expect(from('a.md', '```ts no-run\nf();\n```\n')[0]?.noRun).toBe('');
});

test('a block in a list loses the indentation of its fence', () => {
  expect(from('a.md', '- item\n  ```ts\n  if (a) {\n    b();\n  }\n  ```\n')[0]?.code).toBe('if (a) {\n  b();\n}\n');
});

test('an @example in a doc comment is a snippet; code and other comments are not', () => {
  const source = [
    '/**',
    ' * Adds.',
    ' * @example',
    ' * ```ts',
    ' * if (add(1, 2) !== 3) {',
    " *   throw new Error('no');",
    ' * }',
    ' * ```',
    ' */',
    'export const add = (a: number, b: number) => a + b;',
    '// ```ts',
    'const text = `',
    '```ts',
    '`;',
  ].join('\n');
  expect(from('a.ts', source)).toEqual([
    {
      place: 'a.ts:4',
      language: 'ts',
      file: undefined,
      noRun: undefined,
      code: "if (add(1, 2) !== 3) {\n  throw new Error('no');\n}\n",
    },
  ]);
});

test('a block that is not closed is an error', () => {
  expect(() => from('a.md', '```ts\nlet a;\n')).toThrow('a.md:1: the block is not closed');
});
