import { CorruptionError } from '@quorate/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  compareRevision,
  decodeMark,
  encodeMark,
  isTombstoneKey,
  parseRowKey,
  readRowKey,
  rowKey,
  writeRowKey,
} from './revision.ts';

const main = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1));
const sub = fc.oneof(fc.nat(300), fc.nat(2 ** 31 - 1), fc.constantFrom(2 ** 31, 2 ** 32 - 1));
const revision = fc.record({ main, sub });

test('a row key is etcd’s: 8 bytes, underscore, 8 bytes, t for tombstones', () => {
  expect(Buffer.from(rowKey(0x0102030405, 0x0a0b, false), 'latin1').toString('hex')).toBe(
    '0000000102030405' + '5f' + '0000000000000a0b',
  );
  expect(Buffer.from(rowKey(1, 0, true), 'latin1').toString('hex')).toBe(
    '0000000000000001' + '5f' + '000000000000000074',
  );
});

test('a row key gives its revision back, as string and as bytes', () => {
  fc.assert(
    fc.property(revision, fc.boolean(), (rev, tombstone) => {
      const key = rowKey(rev.main, rev.sub, tombstone);
      expect(parseRowKey(key)).toEqual(rev);
      expect(isTombstoneKey(key)).toBe(tombstone);
      const bytes = Buffer.alloc(18, 0xee);
      const length = writeRowKey(bytes, rev.main, rev.sub, tombstone);
      expect(bytes.toString('latin1', 0, length)).toBe(key);
      const place = { bytes: Buffer.concat([Buffer.from('ab'), bytes]), at: 2, end: 2 + length };
      expect(readRowKey(place)).toEqual(rev);
    }),
  );
});

test('row keys sort as revisions do', () => {
  fc.assert(
    fc.property(revision, revision, (a, b) => {
      const left = rowKey(a.main, a.sub, false);
      const right = rowKey(b.main, b.sub, false);
      expect(Math.sign(compareRevision(a, b))).toBe(left < right ? -1 : left > right ? 1 : 0);
    }),
  );
});

test('anything but a row key is refused', () => {
  const good = rowKey(5, 1, true);
  const bad = [
    '',
    'x',
    good.slice(0, 16),
    `${good}x`,
    good.replace('_', '-'),
    good.replace('t', 'T'),
    `\x7f${good.slice(1)}`,
  ];
  for (const key of [...bad, `${good.slice(0, 10)}\x01${good.slice(11)}`]) {
    expect(() => parseRowKey(key), JSON.stringify(key)).toThrow(CorruptionError);
    const bytes = Buffer.from(`${key}more`, 'latin1');
    expect(() => readRowKey({ bytes, at: 0, end: key.length }), JSON.stringify(key)).toThrow(CorruptionError);
  }
});

test('a compaction mark gives its revision back', () => {
  for (const value of [0, 1, 255, 2 ** 40]) expect(decodeMark(encodeMark(value))).toBe(value);
});
