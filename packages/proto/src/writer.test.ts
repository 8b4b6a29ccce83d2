import { FatalError } from '@quorate/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RangeRequest, Reader, sizeBigint, sizeInt32, sizeInt64, sizeString, sizeUint32, Writer } from './index.ts';

/** Everything `write` writes, with the room `size` promised. */
function written(size: number, write: (writer: Writer) => void): Buffer {
  const writer = new Writer(size);
  write(writer);
  return writer.finish();
}

describe('the promised size is the written size and reads back', () => {
  const edges = [7, 14, 21, 28, 31, 32, 35, 42, 49, 53].flatMap((bits) => [2 ** bits - 1, 2 ** bits]);

  test.each(edges.filter((value) => value <= Number.MAX_SAFE_INTEGER))('number %d and its negative', (value) => {
    for (const signed of [value, -value]) {
      const bytes = written(sizeInt64(signed), (writer) => writer.int64(signed));
      expect(new Reader(bytes).int64()).toBe(signed);
    }
    const bytes = written(sizeInt64(value), (writer) => writer.int64(value));
    expect(new Reader(bytes).uint64()).toBe(value);
  });

  test('any number', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const bytes = written(sizeInt64(value), (writer) => writer.int64(value));
        expect(new Reader(bytes).int64()).toBe(value);
        expect(new Reader(bytes).bigint()).toBe(BigInt(value));
      }),
    );
  });

  test('any bigint, whatever its sign', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
        const bytes = written(sizeBigint(value), (writer) => writer.bigint(value));
        expect(new Reader(bytes).biguint()).toBe(BigInt.asUintN(64, value));
      }),
    );
  });

  test('any 32-bit number', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(new Reader(written(sizeInt32(value), (writer) => writer.int32(value))).int32()).toBe(value);
        const unsigned = value >>> 0;
        expect(new Reader(written(sizeUint32(unsigned), (writer) => writer.uint32(unsigned))).uint32()).toBe(unsigned);
      }),
    );
  });

  test.each([0, 1, 41, 42, 43, 127, 128, 20000])('strings of %d characters of every width', (length) => {
    for (const character of ['a', 'ß', '語', '😀']) {
      const value = character.repeat(length);
      expect(new Reader(written(sizeString(value), (writer) => writer.string(value))).string()).toBe(value);
    }
  });

  test.each([0, 1, 8, 9, 24, 25, 127, 128, 70000])('%d bytes, as bytes and as a latin1 key', (length) => {
    const value = Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 0xff));
    const size = sizeUint32(length) + length;
    expect(new Reader(written(size, (writer) => writer.bytes(value))).bytes()).toEqual(value);
    expect(written(size, (writer) => writer.latin1(value.toString('latin1')))).toEqual(
      written(size, (writer) => writer.bytes(value)),
    );
  });
});

test('numbers beyond 2^53 that a double holds exactly are written as they are', () => {
  for (const value of [2 ** 55, 2 ** 56, 2 ** 62, 2 ** 63]) {
    const bytes = written(sizeInt64(value), (writer) => writer.int64(value));
    expect(new Reader(bytes).biguint()).toBe(BigInt(value));
  }
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 2 ** 64])(
  '%d is no 64-bit number and does not leave the process',
  (revision) => {
    expect(() => RangeRequest.encode(RangeRequest.create({ revision }))).toThrow(FatalError);
  },
);

test('a message that does not fill its buffer does not leave the process', () => {
  const writer = new Writer(2);
  writer.byte(1);
  expect(() => writer.finish()).toThrow(FatalError);
});

test('a lone surrogate is written as U+FFFD, so that what was written can be read', () => {
  const bytes = written(sizeString('a\ud800'), (writer) => writer.string('a\ud800'));
  expect(new Reader(bytes).string()).toBe('a\ufffd');
});
