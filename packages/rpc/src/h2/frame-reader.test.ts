import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { ErrorCode } from './frames.ts';
import { rawFrame } from './testing/raw-client.ts';

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

class Sink implements FrameSink {
  readonly seen: Seen[] = [];
  readonly wanted: number;

  constructor(wanted: number = Number.POSITIVE_INFINITY) {
    this.wanted = wanted;
  }

  get closed(): boolean {
    return this.seen.length >= this.wanted;
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    this.seen.push({ type, flags, streamId, payload: bytes.subarray(start, end) });
  }
}

const frame = fc.record({
  type: fc.nat({ max: 255 }),
  flags: fc.nat({ max: 255 }),
  streamId: fc.nat({ max: 0x7fff_ffff }),
  payload: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
});

test('frames are the same however the bytes are cut, and are never written to afterwards', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 12 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 60 })),
      (frames, sizes) => {
        const bytes = Buffer.concat(frames.map((f) => rawFrame(f.type, f.flags, f.streamId, f.payload)));
        const sink = new Sink();
        const reader = new FrameReader(100);
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number;
          reader.read(Buffer.from(bytes.subarray(at, at + size)), sink);
          at += size;
        }
        expect(sink.seen).toEqual(frames);
      },
    ),
  );
});

test('nothing is handed on once nothing is wanted, whole or in pieces', () => {
  const two = Buffer.concat([rawFrame(1, 0, 1, Buffer.alloc(3)), rawFrame(2, 0, 1, Buffer.alloc(3))]);
  const whole = new Sink(1);
  new FrameReader(100).read(two, whole);
  const pieces = new Sink(1);
  const reader = new FrameReader(100);
  reader.read(two.subarray(0, 10), pieces);
  reader.read(two.subarray(10), pieces);
  expect([whole.seen.length, pieces.seen.length]).toEqual([1, 1]);
});

test.each([9, 5])('a frame that is too long is refused as soon as its header is known, even in pieces (%d)', (cut) => {
  const bytes = rawFrame(0, 0, 1, Buffer.alloc(0), 101);
  const reader = new FrameReader(100);
  const refused = expect.objectContaining({ code: ErrorCode.frameSizeError });
  expect(() => {
    reader.read(bytes.subarray(0, cut), new Sink());
    reader.read(bytes.subarray(cut), new Sink());
  }).toThrow(refused);
});
