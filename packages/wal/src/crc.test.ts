import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc, crc32c, crcRange } from './crc.ts';

const check = Buffer.from('123456789');

/** Bit by bit, from the definition. */
function slow(bytes: Uint8Array, seed: number, polynomial: number): number {
  let rest = ~seed >>> 0;
  for (const byte of bytes) {
    rest = (rest ^ byte) >>> 0;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
  }
  return ~rest >>> 0;
}

// Around the lengths where another implementation takes over.
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.uint8Array({ minLength: 500, maxLength: 530 }),
  fc.uint8Array({ minLength: 1000, maxLength: 1100 }),
);
const seed = fc.nat(0xffff_ffff);

test('the published check values', () => {
  expect(crc(check, 0)).toBe(0xcbf4_3926);
  expect(crc32c(check, 0)).toBe(0xe306_9283);
});

test('every length and seed gives what the definition gives', () => {
  fc.assert(
    fc.property(bytes, seed, (input, start) => {
      expect(crc(input, start)).toBe(slow(input, start, 0xedb8_8320));
      expect(crc32c(input, start)).toBe(slow(input, start, 0x82f6_3b78));
    }),
  );
});

test('a range gives what a view of it gives', () => {
  fc.assert(
    fc.property(bytes, bytes, bytes, seed, (before, middle, after, start) => {
      const all = Buffer.concat([before, middle, after]);
      expect(crcRange(all, before.length, before.length + middle.length, start)).toBe(crc(middle, start));
    }),
  );
});

test('continuing gives what one run over everything gives', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(crc(b, crc(a, 0))).toBe(crc(Buffer.concat([a, b]), 0));
      expect(crc32c(b, crc32c(a, 0))).toBe(crc32c(Buffer.concat([a, b]), 0));
    }),
  );
});
