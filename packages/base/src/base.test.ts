import { describe, expect, test } from 'vitest';
import {
  FatalError,
  formatId,
  invariant,
  keyFromBytes,
  keyToBytes,
  parseId,
  prefixEnd,
  randomId,
  SeededRandom,
} from './index.ts';

describe('invariant', () => {
  test('says what is broken with its facts', () => {
    expect(() => invariant(false, 'commit moved back', { index: 3, member: 5n })).toThrow(
      new FatalError('commit moved back', { index: 3, member: 5n }),
    );
    expect(() => invariant(true, 'fine')).not.toThrow();
  });
});

describe('ids', () => {
  test('print as etcd prints them and read back', () => {
    expect(formatId(0x8e9e05c52164694dn)).toBe('8e9e05c52164694d');
    expect(formatId(-1n)).toBe('ffffffffffffffff');
    expect(parseId('00ff')).toBe(255n);
    expect(parseId('')).toBeUndefined();
    expect(parseId('12345678901234567')).toBeUndefined();
    expect(parseId('xyz')).toBeUndefined();
  });
});

describe('keys', () => {
  test('order and content are those of the bytes', () => {
    const bytes = [
      Buffer.from([0]),
      Buffer.from([0x7f]),
      Buffer.from([0x80]),
      Buffer.from([0xff]),
      Buffer.from([0xff, 0]),
    ];
    const keys = bytes.map(keyFromBytes);
    expect([...keys].sort()).toEqual(keys);
    expect(keys.map(keyToBytes)).toEqual(bytes);
  });

  test('a prefix ends before the next key that does not have it', () => {
    expect(prefixEnd('a')).toBe('b');
    expect(prefixEnd('a\xff')).toBe('b');
    expect(prefixEnd('\xff\xff')).toBe('\0');
    expect(prefixEnd('')).toBe('\0');
  });
});

describe('random', () => {
  test('the same seed gives the same numbers, within the bound and over all of it', () => {
    const [a, b] = [new SeededRandom(42), new SeededRandom(42)];
    const seen = new Set<number>();
    for (let i = 0; i < 1_000; i++) {
      const value = a.below(7);
      expect(value).toBe(b.below(7));
      seen.add(value);
    }
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(new SeededRandom(43).below(1_000_000)).not.toBe(new SeededRandom(42).below(1_000_000));
  });

  test('ids are 64 bits and never nothing', () => {
    const random = new SeededRandom(1);
    const ids = new Set(Array.from({ length: 1_000 }, () => randomId(random)));
    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id > 0n && id < 1n << 64n).toBe(true);
  });
});
