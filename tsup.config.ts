import { defineConfig } from 'tsup';

// Every package builds with this file: `tsup --config ../../tsup.config.ts src/index.ts …`.
export default defineConfig({
  format: 'esm',
  // ES2022 has no `using`: esbuild lowers it. Symbol.dispose itself is the platform's and nothing here polyfills it:
  // Node has it from 18.18, Chromium from 134, Firefox from 141.
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
