/**
 * The encoded KeyValue. It is made once per put and then is the record on disk, the fragment of a response and the payload of
 * a watch event, so it has a writer of its own and readers that pick single fields without decoding the rest.
 *
 * The readers expect what {@link encodeKeyValue} and the plain codec write: fields in order of their numbers, each once. They
 * stop at the field they want and throw DecodeError on bytes that are not a message at all.
 */
import { Reader } from './reader.ts';
import { sizeId, sizeNumber, writeId, writeNumber } from './splice-pieces.ts';
import { emptyBytes, sizeDelimited } from './wire.ts';
import { Writer } from './writer.ts';

const tags = { key: 10, createRevision: 16, modRevision: 24, version: 32, value: 42, lease: 48 } as const;

/**
 * A KeyValue whose key is a string of one byte per character, as keys are inside the process. A tombstone has only key and
 * modRevision; the rest is 0, emptyBytes and 0n.
 */
export interface KeyValueFields {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Buffer;
  readonly lease: bigint;
}

/** The bytes of a KeyValue. */
export function encodeKeyValue(kv: KeyValueFields): Buffer {
  const writer = new Writer(sizeKeyValue(kv));
  writeKeyValue(kv, writer);
  return writer.finish();
}

/** The number of bytes {@link writeKeyValue} writes: for records that have something before or behind the KeyValue. */
export function sizeKeyValue(kv: KeyValueFields): number {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  let size = sizeNumber(createRevision) + sizeNumber(modRevision) + sizeNumber(version) + sizeId(lease);
  if (key.length !== 0) size += 1 + sizeDelimited(key.length);
  if (value.length !== 0) size += 1 + sizeDelimited(value.length);
  return size;
}

/** Appends the encoding of `kv` to `writer`, which has at least {@link sizeKeyValue} bytes left. */
export function writeKeyValue(kv: KeyValueFields, writer: Writer): void {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  if (key.length !== 0) {
    writer.byte(tags.key);
    writer.latin1(key);
  }
  writeNumber(writer, tags.createRevision, createRevision);
  writeNumber(writer, tags.modRevision, modRevision);
  writeNumber(writer, tags.version, version);
  if (value.length !== 0) {
    writer.byte(tags.value);
    writer.bytes(value);
  }
  writeId(writer, tags.lease, lease);
}

/** The key, one byte per character. */
export function readKeyValueKey(bytes: Buffer): string {
  const reader = seek(bytes, tags.key);
  if (reader === undefined) return '';
  const end = reader.delimited();
  return bytes.toString('latin1', reader.pos, end);
}

/** Revision of the put that created the key; 0 in a tombstone. */
export function readKeyValueCreateRevision(bytes: Buffer): number {
  return seek(bytes, tags.createRevision)?.int64() ?? 0;
}

/** Revision of the put or delete this record belongs to. */
export function readKeyValueModRevision(bytes: Buffer): number {
  return seek(bytes, tags.modRevision)?.int64() ?? 0;
}

/** Puts since the key was created; 0 in a tombstone. */
export function readKeyValueVersion(bytes: Buffer): number {
  return seek(bytes, tags.version)?.int64() ?? 0;
}

/** The value, as a view of `bytes`. */
export function readKeyValueValue(bytes: Buffer): Buffer {
  return seek(bytes, tags.value)?.bytes() ?? emptyBytes;
}

/** The lease attached, as unsigned 64 bits; 0n for none. */
export function readKeyValueLease(bytes: Buffer): bigint {
  return seek(bytes, tags.lease)?.biguint() ?? 0n;
}

/** The same KeyValue without its value, as `keys_only` answers it; `bytes` itself when there is none. */
export function keyValueWithoutValue(bytes: Buffer): Buffer {
  const reader = seek(bytes, tags.value);
  if (reader === undefined) return bytes;
  const before = reader.pos - 1;
  const after = reader.delimited();
  const rest = Buffer.allocUnsafe(before + bytes.length - after);
  bytes.copy(rest, 0, 0, before);
  bytes.copy(rest, before, after);
  return rest;
}

/** A reader at the value of the field with `wanted` as its tag, or undefined when the message has none. */
function seek(bytes: Buffer, wanted: number): Reader | undefined {
  const reader = new Reader(bytes);
  while (reader.pos < bytes.length) {
    const tag = reader.tag();
    if (tag === wanted) return reader;
    if (tag > wanted) return undefined;
    reader.skip(tag);
  }
  return undefined;
}
