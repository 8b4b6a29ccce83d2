import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DecodeError,
  emptyBytes,
  encodeKeyValue,
  KeyValue,
  type KeyValueFields,
  keyValueWithoutValue,
  readKeyValueCreateRevision,
  readKeyValueKey,
  readKeyValueLease,
  readKeyValueModRevision,
  readKeyValueValue,
  readKeyValueVersion,
  sizeKeyValue,
  Writer,
  writeKeyValue,
} from './index.ts';
import { anyMessage, codecs } from './testing/reflection.ts';

const codec = codecs.find(({ name }) => name === KeyValue.name)!;
const anyKeyValue = anyMessage(codec) as unknown as fc.Arbitrary<KeyValue>;

const tombstone = { key: 'k', createRevision: 0, modRevision: 9, version: 0, value: emptyBytes, lease: 0n };
const fieldsOf = (kv: KeyValue): KeyValueFields => ({ ...kv, key: kv.key.toString('latin1') });

describe('the encoded KeyValue', () => {
  test('is what the plain codec writes', () => {
    fc.assert(
      fc.property(anyKeyValue, (kv) => {
        expect(encodeKeyValue(fieldsOf(kv))).toEqual(KeyValue.encode(kv));
      }),
    );
  });

  test('can be written behind something else', () => {
    fc.assert(
      fc.property(anyKeyValue, fc.nat(8), (kv, before) => {
        const writer = new Writer(before + sizeKeyValue(fieldsOf(kv)));
        writer.pos = before;
        writeKeyValue(fieldsOf(kv), writer);
        expect(writer.buffer.subarray(before)).toEqual(KeyValue.encode(kv));
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
    const bytes = encodeKeyValue({ ...tombstone, createRevision: 2, version: 1, lease: 7n });
    expect(keyValueWithoutValue(bytes)).toBe(bytes);
  });

  test('of a tombstone holds key and revision', () => {
    const bytes = encodeKeyValue(tombstone);
    expect(KeyValue.decode(bytes)).toEqual(KeyValue.create({ key: Buffer.from('k'), modRevision: 9 }));
  });
});

test('bytes that are no message are refused by every reader of a field that is not there', () => {
  const broken = Buffer.from([0x0a, 0x05, 0x61]);
  for (const read of [readKeyValueKey, readKeyValueModRevision, readKeyValueValue, readKeyValueLease]) {
    expect(() => read(broken)).toThrow(DecodeError);
  }
});
