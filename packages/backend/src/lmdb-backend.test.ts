import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, noCrashPoints, silentLogger, silentMeter } from '@quorate/base';
import { testBackend } from './conformance.ts';
import { lmdbBackendFactory } from './lmdb-factory.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: () => ({ cancel() {} }),
  soon: (f) => setImmediate(f),
};
testBackend('the store on disk', {
  makeFactory: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-backend-'));
    return {
      factory: lmdbBackendFactory({ directory, clock, logger: silentLogger, meter: silentMeter, crash: noCrashPoints }),
      dispose: () => rm(directory, { recursive: true }),
    };
  },
  sequenceCount: 60,
  sequenceLengthMax: 300,
});
