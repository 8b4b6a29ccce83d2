import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageDecoder } from './message-decoder.ts';

function frame(message: Buffer, flag = 0): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flag, 0);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** Cuts `bytes` into pieces of the given sizes, over and over. */
function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const result: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const end = at + (sizes[i % sizes.length] ?? 1);
    result.push(bytes.subarray(at, end));
    at = end;
  }
  return result;
}

describe('MessageDecoder', () => {
  test('gives back the frames whatever the pieces they arrive in', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 70_000, size: 'medium' }), { maxLength: 6 });
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40_000 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(messages, sizes, (bodies, cuts) => {
        const frames = bodies.map((body) => frame(Buffer.from(body)));
        const decoder = new MessageDecoder(70_000, false);
        const got = pieces(Buffer.concat(frames), cuts).flatMap((piece) => decoder.write(piece));
        expect(got.map((bytes) => bytes.toString('hex'))).toEqual(frames.map((bytes) => bytes.toString('hex')));
      }),
      { numRuns: 200 },
    );
  });

  test('refuses a length over the limit from the header alone, as Go words it', () => {
    const header = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    const decoder = new MessageDecoder(100, false);
    decoder.write(header.subarray(0, 4));
    expect(() => decoder.write(header.subarray(4))).toThrow(
      'grpc: received message larger than max (4294967295 vs. 100)',
    );
  });

  test('takes a message of exactly the limit', () => {
    const bytes = frame(Buffer.alloc(100, 7));
    expect(new MessageDecoder(100, false).write(bytes)).toEqual([bytes]);
  });

  test('refuses a compressed message on a call that named no encoding', () => {
    const bytes = frame(Buffer.from('x'), 1);
    expect(() => new MessageDecoder(100, false).write(bytes)).toThrow('compressed flag set');
    expect(new MessageDecoder(100, true).write(bytes)).toEqual([bytes]);
  });

  test('refuses a flag that is neither 0 nor 1', () => {
    expect(() => new MessageDecoder(100, true).write(frame(Buffer.from('x'), 2))).toThrow('payload format 2');
  });

  test('keeps no reference to the pieces of an unfinished frame', () => {
    const bytes = frame(Buffer.from('hello'));
    const piece = Buffer.from(bytes.subarray(0, 8));
    const decoder = new MessageDecoder(100, false);
    decoder.write(piece);
    piece.fill(0xee);
    expect(decoder.write(bytes.subarray(8))).toEqual([bytes]);
  });
});
