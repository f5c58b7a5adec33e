import { defineConfig } from 'vitest/config';
import { conditions } from '../vitest.config.ts';

// For the tests that the documentation shows, written out where --root points.
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  // Many at once, on a busy machine.
  test: { include: ['*.ts'], cache: false, testTimeout: 60_000 },
});
