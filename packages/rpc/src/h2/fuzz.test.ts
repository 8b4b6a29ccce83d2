/**
 * Random clients. Hostile ones send random and mutated frames: the server must neither crash nor hang, must let go of every call,
 * and must serve others meanwhile. Decent ones send valid frames in every order, cut and padded at random: everything must be
 * answered, and rightly. FUZZ_RUNS in the environment makes the search longer.
 */
import { PutRequest, PutResponse } from '@quorate/proto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ErrorCode, Flag, FrameType, frameHeaderBytes } from './frames.ts';
import { encodeFields } from './hpack-encoder.ts';
import { Probe, rangePath, snapshotPath, watchPath } from './testing/probe.ts';
import {
  dataFrame,
  emptyPut,
  grpcFields,
  grpcMessage,
  headersFrame,
  pingFrame,
  preface,
  putPath,
  RawClient,
  rawFrame,
  rstFrame,
  settingsFrame,
  windowUpdateFrame,
} from './testing/raw-client.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 100);
const timeoutMs = 60_000 + numRuns * 100;

let probe: Probe;
let canary: RawClient;
let canaryStream = 1;
beforeAll(async () => {
  probe = await Probe.open();
  canary = await probe.client();
  canary.send(windowUpdateFrame(0, 1 << 30));
});
afterAll(() => probe.close());

/** Mostly streams that the sequence opened itself, at its beginning or later. */
const openId = fc.nat({ max: 7 }).map((n) => 2 * n + 1);
const anyId = fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 0x7fff_ffff }));
const streamId = fc.oneof({ weight: 20, arbitrary: openId }, { weight: 1, arbitrary: anyId });
const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((part) => Buffer.from(part));
/** Right flags mostly, so that a sequence lives long enough to become interesting. */
const flags = (...right: number[]): fc.Arbitrary<number> =>
  fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) });
const path = fc.constantFrom(putPath, rangePath, watchPath, snapshotPath, '/nobody/home');
const increment = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 70_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 0x7fff_ffff) },
);
const setting = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant(4), fc.nat({ max: 70_000 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant(5), fc.integer({ min: 16_384, max: 0xff_ffff })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant(1), fc.nat({ max: 10_000 })) },
  { weight: 1, arbitrary: fc.tuple(fc.nat({ max: 9 }), fc.nat()) },
);

/** Frames that mean something, by themselves or after each other. */
const plausible = fc.oneof(
  fc.tuple(streamId, path, flags(4, 5)).map(([id, to, flag]) => headersFrame(id, grpcFields(to), flag)),
  fc.tuple(streamId, flags(0, 1)).map(([id, flag]) => dataFrame(id, emptyPut, flag)),
  fc.tuple(streamId, bytes(40), flags(0, 1)).map(([id, part, flag]) => dataFrame(id, part, flag)),
  fc
    .tuple(streamId, fc.nat({ max: 60 }), flags(8, 9))
    .map(([id, n, flag]) => dataFrame(id, Buffer.concat([Buffer.from([n]), emptyPut, Buffer.alloc(n)]), flag)),
  fc.tuple(streamId, increment).map(([id, n]) => windowUpdateFrame(id, n)),
  increment.map((n) => windowUpdateFrame(0, n)),
  fc.tuple(streamId, fc.nat({ max: 14 })).map(([id, code]) => rstFrame(id, code)),
  fc.array(setting, { maxLength: 3 }).map((entries) => settingsFrame(entries)),
  fc.tuple(flags(0, 1), fc.string({ minLength: 8, maxLength: 8 })).map(([flag, text]) => pingFrame(text, flag)),
  fc.tuple(streamId, bytes(5)).map(([id, part]) => rawFrame(FrameType.priority, 0, id, part)),
);
/** A header block in two frames, whose second may be another one. */
const split = fc.tuple(streamId, path, fc.nat({ max: 100 }), fc.boolean()).map(([id, to, at, right]) => {
  const block = encodeFields(grpcFields(to));
  const second = rawFrame(FrameType.continuation, Flag.endHeaders, right ? id : id + 2, block.subarray(at));
  return Buffer.concat([headersFrame(id, block.subarray(0, at), 0), second]);
});
const wild = fc.oneof(
  fc.tuple(streamId, bytes(60), flags(4, 5)).map(([id, block, flag]) => headersFrame(id, block, flag)),
  fc
    .tuple(fc.nat({ max: 12 }), fc.nat({ max: 255 }), streamId, bytes(50))
    .map(([type, flag, id, part]) => rawFrame(type, flag, id, part)),
);
const opening = fc
  .array(path, { maxLength: 6 })
  .map((paths) => paths.map((to, i) => headersFrame(2 * i + 1, grpcFields(to))));
const sequence = fc
  .tuple(
    opening,
    fc.array(
      fc.oneof({ weight: 30, arbitrary: plausible }, { weight: 2, arbitrary: split }, { weight: 1, arbitrary: wild }),
      { maxLength: 40 },
    ),
  )
  .map(([opened, frames]) => [...opened, ...frames]);
/** Bytes to overwrite, by their place modulo the length of the whole; mostly none. */
const mutations = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat({ max: 100_000 }), fc.nat({ max: 255 })), { maxLength: 3 }) },
);
/** Whether the client begins as it should. */
const greeting = fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) });
const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 20 });

/** Ends every connection: DATA on stream 0, behind as many bytes as a frame that was announced may still lack. */
const poison = Buffer.alloc(3 * (16_384 + frameHeaderBytes));

test('hostile frames end at most their own connection', { timeout: timeoutMs }, async () => {
  await fc.assert(
    fc.asyncProperty(sequence, mutations, cuts, greeting, async (frames, changes, sizes, greet) => {
      probe.held.length = probe.watches.length = probe.watched.length = probe.snapshots.length = 0;
      const client = await probe.connect();
      const all = Buffer.concat([...(greet ? [preface, settingsFrame()] : [preface]), ...frames]);
      for (const [place, value] of changes) all[preface.length + (place % (all.length - preface.length))] = value;
      let at = 0;
      for (const size of sizes) {
        client.send(all.subarray(at, at + size));
        at += size;
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.send(all.subarray(at), poison);
      await client.closed;
      await canary.put(canaryStream);
      canaryStream += 2;
      for (const { call } of [...probe.held, ...probe.watches]) expect(call.cancelled).toBe(true);
      for (const stream of probe.snapshots) expect(stream.queuedBytes).toBe(0);
      canary.frames.length = 0;
    }),
    { numRuns, timeout: 10_000 },
  );
  expect(probe.served.logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

interface PlannedCall {
  /** Bytes of the value put. */
  readonly valueBytes: number;
  /** Into how many pieces headers and body are cut. */
  readonly headerParts: number;
  readonly bodyParts: number;
  readonly paddingBytes: number;
  readonly trailers: boolean;
}

const plannedCall: fc.Arbitrary<PlannedCall> = fc.record({
  valueBytes: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 100_000 })),
  headerParts: fc.integer({ min: 1, max: 4 }),
  bodyParts: fc.integer({ min: 1, max: 12 }),
  paddingBytes: fc.oneof(fc.constant(0), fc.nat({ max: 255 })),
  trailers: fc.boolean(),
});

/** The frames of a put; those of one inner list must stay together. */
function framesOf(id: number, call: PlannedCall): Buffer[][] {
  const block = pieces(encodeFields(grpcFields()), call.headerParts);
  const headers = block.map((part, i) =>
    rawFrame(
      i === 0 ? FrameType.headers : FrameType.continuation,
      i === block.length - 1 ? Flag.endHeaders : 0,
      id,
      part,
    ),
  );
  const message = grpcMessage(
    PutRequest.encode(PutRequest.create({ key: Buffer.from(`key${id}`), value: Buffer.alloc(call.valueBytes, id) })),
  );
  const parts = Math.max(call.bodyParts, Math.ceil(message.length / 16_000));
  const body = pieces(message, parts).map((part, i, every) => {
    const flag = i === every.length - 1 && !call.trailers ? Flag.endStream : 0;
    if (call.paddingBytes === 0) return [dataFrame(id, part, flag)];
    const padded = Buffer.concat([Buffer.from([call.paddingBytes]), part, Buffer.alloc(call.paddingBytes)]);
    return [rawFrame(FrameType.data, flag | Flag.padded, id, padded)];
  });
  const trailers = call.trailers ? [[headersFrame(id, [['x-a', 'b']], Flag.endHeaders | Flag.endStream)]] : [];
  return [headers, ...body, ...trailers];
}

function pieces(whole: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.ceil(whole.length / count));
  const parts: Buffer[] = [];
  for (let at = 0; at < whole.length; at += size) parts.push(whole.subarray(at, at + size));
  return parts;
}

test('valid frames are answered rightly, however they are cut, padded and interleaved', {
  timeout: timeoutMs,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(plannedCall, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      fc.array(fc.integer({ min: 1, max: 30_000 }), { maxLength: 30 }),
      fc.constantFrom(1, 1_000, 65_535, 1 << 20),
      async (calls, choices, sizes, window) => {
        const client = await RawClient.connect(probe.served.port);
        const waiting = calls.map((call, i) => framesOf(2 * i + 1, call));
        const sent: Buffer[] = [preface, settingsFrame([[4, window]])];
        // Streams open in order; after that, any order.
        for (const frames of waiting) sent.push(...(frames.shift() ?? []));
        while (waiting.some((frames) => frames.length > 0)) {
          const open = waiting.filter((frames) => frames.length > 0);
          sent.push(...(open[(choices.next().value as number) % open.length]?.shift() ?? []));
        }
        sent.push(
          settingsFrame([[4, 0x7fff_ffff]]),
          rawFrame(FrameType.windowUpdate, 0, 0, Buffer.from([0x7f, 0, 0, 0])),
        );
        const all = Buffer.concat(sent);
        let at = 0;
        for (const size of sizes) {
          client.send(all.subarray(at, at + size));
          at += size;
          await new Promise((resolve) => setImmediate(resolve));
        }
        client.send(all.subarray(at));
        for (const [i, { valueBytes }] of calls.entries()) {
          const id = 2 * i + 1;
          expect(await client.trailers(id)).toEqual({ 'grpc-status': '0' });
          const answer = PutResponse.decode(client.body(id).subarray(5));
          expect(answer.prevKv?.key.toString()).toBe(`key${id}`);
          expect(answer.prevKv?.value.equals(Buffer.alloc(valueBytes, id))).toBe(true);
        }
        // An answer may overtake trailers, which are then not waited for.
        for (const { type, streamId: id, payload } of client.frames) {
          if (type !== FrameType.rstStream) continue;
          expect([calls[(id - 1) / 2]?.trailers, payload.readUInt32BE()]).toEqual([true, ErrorCode.noError]);
        }
        client.close();
      },
    ),
    { numRuns, timeout: 10_000 },
  );
});
