// The code that the documentation shows: fenced blocks of Markdown files, and of @example in doc comments.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

export interface Snippet {
  /** Where it stands: `README.md:12`. */
  readonly place: string;
  /** `ts` or `sh`. */
  readonly language: string;
  /** `file=NAME`: other blocks of the same document import it as `./NAME`. */
  readonly file: string | undefined;
  /** `no-run: REASON`: it is type-checked only, because it needs what a test machine has not. */
  readonly noRun: string | undefined;
  readonly code: string;
}

/** The `ts` and `sh` blocks of a Markdown file, or of the doc comments of a TypeScript file. */
export function snippetsOf(path: string, root: string): Snippet[] {
  const text = readFileSync(path, 'utf8');
  const lines = path.endsWith('.md') ? text.split('\n') : docCommentLines(text);
  const snippets: Snippet[] = [];
  let open: { info: string; line: number; indent: string; code: string[] } | undefined;
  for (const [index, line] of lines.entries()) {
    const fence = /^(\s*)```(.*)$/.exec(line);
    if (open === undefined) {
      if (fence) open = { info: fence[2]?.trim() ?? '', line: index + 1, indent: fence[1] ?? '', code: [] };
    } else if (fence?.[2]?.trim() === '') {
      const [language = ''] = open.info.split(/\s/);
      if (language === 'ts' || language === 'sh') {
        snippets.push({
          place: `${relative(root, path)}:${open.line}`,
          language,
          file: /\bfile=(\S+)/.exec(open.info)?.[1],
          noRun: /\bno-run:?\s*(.*)$/.exec(open.info)?.[1],
          code: `${open.code.join('\n')}\n`,
        });
      }
      open = undefined;
    } else {
      open.code.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line.trimStart());
    }
  }
  if (open) throw new Error(`${relative(root, path)}:${open.line}: the block is not closed`);
  return snippets;
}

/** The text of the doc comments, each line where it was in the file; every other line is empty. */
function docCommentLines(source: string): string[] {
  let inside = false;
  return source.split('\n').map((line) => {
    if (/^\s*\/\*\*/.test(line)) inside = true;
    const text = inside ? line.replace(/^\s*\/?\*+ ?/, '').replace(/\s*\*\/\s*$/, '') : '';
    if (line.includes('*/')) inside = false;
    return text;
  });
}
