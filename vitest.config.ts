import { defineConfig } from 'vitest/config';

// Tests run on the sources of the workspace packages; nothing has to be built first.
export const conditions = ['usrdrv-source', 'module', 'node', 'development|production'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // A test that loops for ever dies with vitest in a thread; a forked process would outlive it.
    pool: 'threads',
    // vitest leaves one processor to itself: of two, half.
    maxWorkers: '100%',
    exclude: ['**/node_modules/**', '**/dist/**', 'examples/.snippets/**'],
    include: ['packages/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts', 'test/**/*.test.ts'],
    typecheck: {
      enabled: true,
      exclude: ['**/node_modules/**', '**/dist/**', 'examples/.snippets/**'],
      include: ['packages/*/src/**/*.test-d.ts'],
      tsconfig: './tsconfig.test-d.json',
    },
  },
});
