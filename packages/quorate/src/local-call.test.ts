import { kvService, PutResponse } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LocalUnary, OpenCalls } from './local-call.ts';

test('who is answered, in whatever order, is gone from the open calls; the others are ended, each once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 19 }), { maxLength: 30 }), async (answered) => {
      const calls = new OpenCalls();
      const open = Array.from({ length: 20 }, () => new LocalUnary(calls, kvService.methods.put, undefined));
      for (const at of new Set(answered)) open[at]!.ok(PutResponse.create());
      const late = new LocalUnary(calls, kvService.methods.put, undefined);
      const gone = new Error('gone');
      calls.abort(gone);
      const outcomes = await Promise.allSettled([...open, late].map((call) => call.promise));
      expect(outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : 'answered'))).toEqual([
        ...open.map((_, at) => (answered.includes(at) ? 'answered' : gone)),
        gone,
      ]);
      expect([...open, late].map((call) => call.cancelled)).toEqual([
        ...open.map((_, at) => !answered.includes(at)),
        true,
      ]);
      // Nothing is left to be ended.
      calls.abort(new Error('again'));
    }),
  );
});
