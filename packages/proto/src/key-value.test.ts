import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DecodeError,
  emptyBytes,
  encodeKeyValue,
  KeyValue,
  keyValueWithoutValue,
  readKeyValueCreateRevision,
  readKeyValueKey,
  readKeyValueLease,
  readKeyValueModRevision,
  readKeyValueValue,
  readKeyValueVersion,
} from './index.ts';
import { anyMessage, codecs } from './testing/reflection.ts';

const codec = codecs.find(({ name }) => name === KeyValue.name)!;
const anyKeyValue = anyMessage(codec) as unknown as fc.Arbitrary<KeyValue>;

function encode(kv: KeyValue): Buffer {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  return encodeKeyValue(key.toString('latin1'), createRevision, modRevision, version, value, lease);
}

describe('the encoded KeyValue', () => {
  test('is what the plain codec writes', () => {
    fc.assert(
      fc.property(anyKeyValue, (kv) => {
        expect(encode(kv)).toEqual(KeyValue.encode(kv));
      }),
    );
  });

  test('gives up each field without the others', () => {
    fc.assert(
      fc.property(anyKeyValue, (kv) => {
        const bytes = KeyValue.encode(kv);
        expect(readKeyValueKey(bytes)).toBe(kv.key.toString('latin1'));
        expect(readKeyValueCreateRevision(bytes)).toBe(kv.createRevision);
        expect(readKeyValueModRevision(bytes)).toBe(kv.modRevision);
        expect(readKeyValueVersion(bytes)).toBe(kv.version);
        expect(readKeyValueValue(bytes)).toEqual(kv.value);
        expect(readKeyValueLease(bytes)).toBe(kv.lease);
      }),
    );
  });

  test('loses its value and nothing else for keys_only', () => {
    fc.assert(
      fc.property(anyKeyValue, (kv) => {
        expect(keyValueWithoutValue(KeyValue.encode(kv))).toEqual(KeyValue.encode({ ...kv, value: emptyBytes }));
      }),
    );
  });

  test('is handed back as it is when it has no value to lose', () => {
    const bytes = encodeKeyValue('k', 2, 2, 1, emptyBytes, 7n);
    expect(keyValueWithoutValue(bytes)).toBe(bytes);
  });

  test('of a tombstone holds key and revision', () => {
    const bytes = encodeKeyValue('k', 0, 9, 0, emptyBytes, 0n);
    expect(KeyValue.decode(bytes)).toEqual(KeyValue.create({ key: Buffer.from('k'), modRevision: 9 }));
  });
});

test('bytes that are no message are refused by every reader of a field that is not there', () => {
  const broken = Buffer.from([0x0a, 0x05, 0x61]);
  for (const read of [readKeyValueKey, readKeyValueModRevision, readKeyValueValue, readKeyValueLease]) {
    expect(() => read(broken)).toThrow(DecodeError);
  }
});
