import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root, runModule, runTests, runUsrdrv } from './run.ts';
import { type Snippet, snippetsOf } from './snippets.ts';

// In examples/, which may import every package; apart for each run, so that two runs do not meet.
const scratch = join(root, 'examples/.snippets', String(process.pid));

const documents = ts.sys
  .readDirectory(
    root,
    ['.md', '.ts'],
    ['**/node_modules', '**/dist', '**/*.test.ts', '**/*.test-d.ts'],
    [
      'README.md',
      'docs/**/*.md',
      'examples/*.md',
      'packages/*/README.md',
      'packages/*/docs/**/*.md',
      'packages/*/src/**/*.ts',
    ],
  )
  .map((path) => ({ path, name: relative(root, path), snippets: snippetsOf(path, root) }))
  .filter(({ snippets }) => snippets.length > 0);

describe('each snippet of the documentation compiles and runs', () => {
  let faults: Map<string, string[]>;

  beforeAll(() => {
    const files: string[] = [];
    for (const { name, snippets } of documents) {
      for (const snippet of snippets.filter(({ language }) => language === 'ts')) {
        const file = fileOf(name, snippet);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, snippet.code);
        files.push(file);
      }
    }
    faults = compile(files);
  }, 120_000);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  for (const { name, snippets } of documents) {
    describe.concurrent(name, () => {
      for (const snippet of snippets) {
        if (snippet.language === 'sh') shellTests(snippet);
        else {
          test(`${snippet.place} (ts)`, { timeout: 120_000 }, async ({ expect }) => {
            const file = fileOf(name, snippet);
            expect(faults.get(file) ?? []).toEqual([]);
            if (snippet.noRun !== undefined) {
              expect(snippet.noRun, 'no-run needs its reason: ```ts no-run: needs a real device').not.toBe('');
              return;
            }
            const { ended, output } = await (usesVitest(snippet) ? runTests(file) : runModule(file));
            expect(ended, output).toBe(0);
            // console.assert only says so.
            expect(output).not.toMatch(/^Assertion failed/m);
            expect(linesIn(output, printsOf(snippet)), output).toEqual(printsOf(snippet));
          });
        }
      }
    });
  }
});

/** Lines that call `npx usrdrv` are run; what installs and tests the project is not run from within its own test. */
function shellTests({ code, place, noRun }: Snippet) {
  if (noRun !== undefined) {
    test(`${place} (sh) says why it is not run`, () => expect(noRun).not.toBe(''));
    return;
  }
  for (const line of code.split('\n').map((text) => text.replace(/^\$ /, '').trim())) {
    if (!line.startsWith('npx usrdrv')) continue;
    test(`${place} ${line}`, { timeout: 120_000 }, async ({ expect }) => {
      const { ended, output } = await runUsrdrv(line);
      expect(ended, output).toBe(0);
    });
  }
}

/** What the comment after a `console.log` says that it prints: `console.log(6 * 7); // 42`. */
function printsOf({ code }: Snippet): string[] {
  return [...code.matchAll(/^\s*console\.log\(.*\); \/\/ (.+)$/gm)].map(([, printed = '']) => printed);
}

/** Those of the lines that are in the output, as far as they are there in their order. */
function linesIn(output: string, lines: readonly string[]): string[] {
  const printed = output.split('\n');
  let from = 0;
  return lines.filter((line) => {
    const at = printed.indexOf(line, from);
    if (at >= 0) from = at + 1;
    return at >= 0;
  });
}

function usesVitest({ code }: Snippet): boolean {
  return /from 'vitest'/.test(code);
}

function fileOf(document: string, { file, place }: Snippet): string {
  return join(scratch, document.replaceAll(/[^\w]+/g, '-'), file ?? `line-${place.split(':').at(-1)}.ts`);
}

/** What the compiler says of each file, under the workspace's own flags. */
function compile(files: string[]): Map<string, string[]> {
  const configFile = join(root, 'tsconfig.json');
  const { config } = ts.readConfigFile(configFile, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root, undefined, configFile);
  // A snippet may end before it has used everything that it names.
  const program = ts.createProgram(files, { ...options, noUnusedLocals: false });
  const host = {
    getCanonicalFileName: (name: string) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => '\n',
  };
  return new Map(
    files.map((file) => [
      file,
      [
        ...program.getSyntacticDiagnostics(program.getSourceFile(file)),
        ...program.getSemanticDiagnostics(program.getSourceFile(file)),
      ].map((diagnostic) => ts.formatDiagnostic(diagnostic, host)),
    ]),
  );
}
