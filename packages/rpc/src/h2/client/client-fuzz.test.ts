/**
 * Random servers: whatever they send, the client neither throws nor hangs, every call ends exactly once, and the connection ends
 * or still works. FUZZ_RUNS in the environment makes the search longer.
 */
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { Flag, FrameType } from '../frames.ts';
import { encodeFields } from '../hpack-encoder.ts';
import {
  dataFrame,
  grpcMessage,
  headersFrame,
  pingFrame,
  rawFrame,
  rstFrame,
  settingsFrame,
  windowUpdateFrame,
} from '../testing/raw-client.ts';
import { Heard, headFields, lastFlags, okTrailers, RawServer } from '../testing/raw-server.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 100);

const streamId = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(1, 3, 5) },
  { weight: 1, arbitrary: fc.nat({ max: 0x7fff_ffff }) },
);
const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((part) => Buffer.from(part));
const flags = (...right: number[]): fc.Arbitrary<number> =>
  fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) });
const setting = fc.oneof(
  fc.tuple(fc.constant(4), fc.nat({ max: 70_000 })),
  fc.tuple(fc.constant(5), fc.integer({ min: 16_384, max: 0xff_ffff })),
  fc.tuple(fc.nat({ max: 9 }), fc.nat()),
);
const frame = fc.oneof(
  { weight: 4, arbitrary: streamId.map((id) => headersFrame(id, headFields)) },
  { weight: 2, arbitrary: streamId.map((id) => headersFrame(id, okTrailers, lastFlags)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(streamId, bytes(40), flags(0, 1))
      .map(([id, part, flag]) => dataFrame(id, grpcMessage(part), flag)),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(streamId, bytes(40), flags(0, 1, 8)).map(([id, part, flag]) => dataFrame(id, part, flag)),
  },
  { weight: 1, arbitrary: fc.tuple(streamId, fc.nat({ max: 14 })).map(([id, code]) => rstFrame(id, code)) },
  {
    weight: 1,
    arbitrary: fc.tuple(streamId, fc.integer({ min: 0, max: 70_000 })).map(([id, n]) => windowUpdateFrame(id, n)),
  },
  { weight: 1, arbitrary: fc.array(setting, { maxLength: 3 }).map((entries) => settingsFrame(entries)) },
  { weight: 1, arbitrary: flags(0, 1).map((flag) => pingFrame('12345678', flag)) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(0, 1, 3, 0x7fff_ffff), bytes(4)).map(([last, rest]) => {
      const payload = Buffer.alloc(8 + rest.length);
      payload.writeUInt32BE(last);
      return rawFrame(FrameType.goAway, 0, 0, payload);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(streamId, fc.nat({ max: 30 })).map(([id, at]) => {
      const block = encodeFields(headFields);
      return Buffer.concat([
        headersFrame(id, block.subarray(0, at), 0),
        rawFrame(FrameType.continuation, Flag.endHeaders, id, block.subarray(at)),
      ]);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(streamId, bytes(60), flags(4, 5)).map(([id, block, flag]) => headersFrame(id, block, flag)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat({ max: 12 }), fc.nat({ max: 255 }), streamId, bytes(50))
      .map(([type, flag, id, part]) => rawFrame(type, flag, id, part)),
  },
);
const mutations = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat({ max: 100_000 }), fc.nat({ max: 255 })), { maxLength: 3 }) },
);

test('hostile servers end at most their own connection, and every call ends once', {
  timeout: 60_000 + numRuns * 100,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 40 }), mutations, async (frames, changes) => {
      const server = await RawServer.open();
      const heard = [new Heard(), new Heard(), new Heard()];
      const calls = heard.map((listener) => server.connection.open('/a/b', listener));
      calls[0]!.send(Buffer.alloc(100_000));
      const all = Buffer.concat([settingsFrame(), ...frames]);
      for (const [place, value] of changes) all[place % all.length] = value;
      server.send(all, pingFrame('the end!'));
      // A frame that announced more than it has swallows the ping: what is left is that the owner gives up.
      server.hangUpSoon();
      for (const { ended } of heard) await ended;
      await vi.waitFor(() => expect(server.connection.isClosed).toBe(true), 30_000);
      await server.close();
    }),
    { numRuns },
  );
});
