import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Unit tests and the simulator read the sources of all packages through the `kvsource` condition: no build, no aliases.
// Suites that start real processes (e2e, crash) run the built programs; their global setup builds them. The projects run one
// after another, so that what measures time or kills processes does not compete with simulations for two cores.
const built = 'test/build.ts';

export default defineConfig({
  resolve: { conditions: ['kvsource'] },
  ssr: { resolve: { conditions: ['kvsource'] } },
  test: {
    pool: 'forks',
    // On two cores the default is one worker, and the other core would watch.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    reporters: ['default', './scripts/summary-reporter.mjs'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          // Properties that take a second here take ten where everybody builds.
          testTimeout: 60_000,
          include: [
            'packages/*/src/**/*.test.ts',
            'bench/src/**/*.test.ts',
            'test/*.test.ts',
            'test/wire/**/*.test.ts',
          ],
        },
      },
      {
        extends: true,
        test: {
          name: 'sim',
          sequence: { groupOrder: 1 },
          include: ['test/sim/**/*.test.ts'],
          testTimeout: 900_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          sequence: { groupOrder: 2 },
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: built,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'differential',
          sequence: { groupOrder: 3 },
          include: ['test/differential/**/*.test.ts'],
          globalSetup: built,
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'crash',
          sequence: { groupOrder: 4 },
          include: ['test/crash/**/*.test.ts'],
          exclude: ['test/crash/*-chaos.test.ts'],
          globalSetup: built,
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'chaos',
          sequence: { groupOrder: 5 },
          // These hold the cluster to times.
          fileParallelism: false,
          include: ['test/crash/*-chaos.test.ts'],
          globalSetup: built,
          testTimeout: 900_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
