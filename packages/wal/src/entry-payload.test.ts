import { Entry } from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entryPrefixBytesMax, writeEntryPrefix } from './entry-payload.ts';

const whole = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat(),
  fc.integer({ min: 0, max: 7 }).map((sevens) => 128 ** sevens),
  fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
);

const entries: fc.Arbitrary<Entry> = fc.record({
  term: whole,
  index: whole,
  type: fc.nat(3),
  data: fc
    .oneof(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(new Uint8Array(20_000), new Uint8Array(3_000_000)))
    .map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
});

test('prefix and data are what the codec writes', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const bytes = Buffer.alloc(3 + entryPrefixBytesMax);
      const end = writeEntryPrefix(bytes, 3, entry);
      expect(end - 3).toBeLessThanOrEqual(entryPrefixBytesMax);
      expect(Buffer.concat([bytes.subarray(3, end), entry.data]).equals(Entry.encode(entry))).toBe(true);
    }),
    { numRuns: 300 },
  );
});
