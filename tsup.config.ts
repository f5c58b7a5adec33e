import { defineConfig } from 'tsup';

// Every package builds with this file: `tsup --config ../../tsup.config.ts src/index.ts …`.
export default defineConfig({
  format: 'esm',
  // ES2022 has no `using`: esbuild lowers it, and finds Symbol.dispose at run time (Node 20 has it).
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  clean: true,
  sourcemap: true,
  splitting: true,
  treeshake: false,
  // What a package imports stays an import, Node's own modules in the CLI included.
  external: [/^node:/],
});
