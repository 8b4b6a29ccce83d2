import { testBackend } from './conformance.ts';
import { MemoryBackendFactory } from './memory-backend.ts';

testBackend('the store in memory', {
  makeFactory: async () => ({ factory: new MemoryBackendFactory(), dispose: async () => {} }),
  sequenceCount: 300,
  sequenceLengthMax: 300,
});
