import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import { defineConfig } from 'tsup';
import base from '../../tsup.config.ts';

/**
 * What fs-core asks of Node while it is loaded, and for nodes that hold no bytes; the rest of what it can do is never
 * asked of it. On the emulated machine the host's user and working directory are nobody's.
 */
const inPlaceOfNode: Readonly<Record<string, string>> = {
  'node:buffer': 'export class Buffer extends Uint8Array { static allocUnsafe(size) { return new Buffer(size); } }',
  'node:path': "export const sep = '/';",
  process: '',
};

const withoutNode: Plugin = {
  name: 'without Node',
  setup(build) {
    build.onResolve({ filter: /^(node:.*|process)$/ }, ({ path, importer }) =>
      path in inPlaceOfNode && /[/\\]node_modules[/\\]/.test(importer)
        ? { path, namespace: 'in-place-of-node' }
        : { errors: [{ text: `${importer} imports ${path}, which no browser has` }] },
    );
    build.onLoad({ filter: /.*/, namespace: 'in-place-of-node' }, ({ path }) => ({
      contents: inPlaceOfNode[path] ?? '',
    }));
  },
};

/** Puts the licenses of what was bundled beside it. Named LICENSE, the file would keep pnpm from packing ours. */
const licenses: Plugin = {
  name: 'licenses',
  setup(build) {
    build.onEnd(({ metafile }) => {
      const folders = new Set(Object.keys(metafile?.inputs ?? {}).flatMap((path) => packageFolder(path) ?? []));
      const texts = [...folders].sort().map((folder) => {
        const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
        const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
        const text = file === undefined ? '' : `\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
        return `${name} ${version}, ${license}\n${text}`;
      });
      mkdirSync('dist', { recursive: true });
      // Not called a license: pnpm would take it for the package's own, and leave that out of the tarball.
      writeFileSync('dist/THIRD-PARTY-NOTICES.txt', texts.join(`\n${'-'.repeat(80)}\n\n`));
    });
  },
};

/** The folder of the installed package that a file is part of. */
function packageFolder(file: string): string | undefined {
  return /^.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+/.exec(file)?.[0];
}

// The heart of memfs is bundled, so that emu loads in a browser as it is: docs/decisions/0007-files-are-fs-core.md.
export default defineConfig({
  ...base,
  // What package.json does not list is bundled, and a module of Node's cannot be.
  external: [],
  removeNodeProtocol: false,
  esbuildPlugins: [withoutNode, licenses],
  esbuildOptions(options) {
    options.mainFields = ['module', 'main'];
    options.define = { ...options.define, process: 'undefined' };
  },
});
