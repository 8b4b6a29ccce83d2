import { defineConfig } from 'vitest/config';

// Unit tests and the simulator read the sources of all packages through the `kvsource` condition: no build, no aliases.
// Suites that start real processes (e2e, crash) run the built programs; their global setup builds them.
const built = 'test/build.ts';

export default defineConfig({
  resolve: { conditions: ['kvsource'] },
  ssr: { resolve: { conditions: ['kvsource'] } },
  test: {
    pool: 'forks',
    reporters: ['default', './scripts/summary-reporter.mjs'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'test/*.test.ts', 'test/wire/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 900_000 },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: built,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          globalSetup: built,
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
