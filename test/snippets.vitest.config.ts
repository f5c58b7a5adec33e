import { defineConfig } from 'vitest/config';
import { conditions } from '../vitest.config.ts';

// For the tests that the documentation shows, written out where --root points.
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ['*.ts'], cache: false },
});
