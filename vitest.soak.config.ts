import { defineConfig } from 'vitest/config';

// What takes minutes to show: many rounds, gigabytes, hours of a cluster's life. `npm test` has a short version of each story;
// these are run before a release and each night, one file at a time.
export default defineConfig({
  resolve: { conditions: ['kvsource'] },
  ssr: { resolve: { conditions: ['kvsource'] } },
  test: {
    name: 'soak',
    pool: 'forks',
    fileParallelism: false,
    reporters: ['default', './scripts/summary-reporter.mjs'],
    include: ['test/soak/**/*.test.ts'],
    globalSetup: 'test/build.ts',
    testTimeout: 1_800_000,
    hookTimeout: 300_000,
    passWithNoTests: true,
  },
});
