/**
 * The pieces spliced responses are made of: the response header, most of which stays the same between elections and is encoded
 * once, and the few kinds of fields those responses have.
 */
import { ResponseHeader } from './gen/etcdserverpb.ts';
import { emptyBytes, sizeBigint, sizeDelimited, sizeInt64 } from './wire.ts';
import { Writer } from './writer.ts';

/** The parts of a response header that stay the same between elections, encoded; see {@link encodeHeaderPrefix}. */
export interface HeaderPrefix {
  /** Fields 1 and 2: cluster id and member id. The revision, field 3, comes between. */
  readonly ids: Buffer;
  /** Field 4: the raft term. */
  readonly term: Buffer;
  /** What they say; revision 0. */
  readonly header: Readonly<ResponseHeader>;
}

/** Operations inside a transaction answer with a header that holds only the revision (etcd server/etcdserver/txn). */
export const noPrefix: HeaderPrefix = { ids: emptyBytes, term: emptyBytes, header: ResponseHeader.create() };

/** Encodes what rarely changes of a header, to be kept until the term does. */
export function encodeHeaderPrefix(header: {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: number;
}): HeaderPrefix {
  const { clusterId, memberId, raftTerm } = header;
  const ids = new Writer(sizeId(clusterId) + sizeId(memberId));
  writeId(ids, 8, clusterId);
  writeId(ids, 16, memberId);
  const term = new Writer(sizeNumber(raftTerm));
  writeNumber(term, 32, raftTerm);
  return { ids: ids.finish(), term: term.finish(), header: ResponseHeader.create(header) };
}

/** Bytes of field 1 of every response, which is present even when the header is empty. */
export function sizeHeader(prefix: HeaderPrefix, revision: number): number {
  return 1 + sizeDelimited(sizeHeaderBody(prefix, revision));
}

/** Writes field 1 of every response; revision 0 is left out. */
export function writeHeader(writer: Writer, prefix: HeaderPrefix, revision: number): void {
  writer.byte(10);
  writer.uint32(sizeHeaderBody(prefix, revision));
  writer.raw(prefix.ids);
  writeNumber(writer, 24, revision);
  writer.raw(prefix.term);
}

function sizeHeaderBody(prefix: HeaderPrefix, revision: number): number {
  return prefix.ids.length + sizeNumber(revision) + prefix.term.length;
}

// ---- fields with a one-byte tag, left out at their default

/** Bytes of a 64-bit number with its tag. */
export function sizeNumber(value: number): number {
  return value === 0 ? 0 : 1 + sizeInt64(value);
}

/** Writes a 64-bit number with its tag. */
export function writeNumber(writer: Writer, tag: number, value: number): void {
  if (value === 0) return;
  writer.byte(tag);
  writer.int64(value);
}

/** Bytes of a 64-bit id with its tag. */
export function sizeId(value: bigint): number {
  return value === 0n ? 0 : 1 + sizeBigint(value);
}

/** Writes a 64-bit id with its tag. */
export function writeId(writer: Writer, tag: number, value: bigint): void {
  if (value === 0n) return;
  writer.byte(tag);
  writer.bigint(value);
}

/** Writes true with its tag: two bytes. */
export function writeFlag(writer: Writer, tag: number, value: boolean): void {
  if (!value) return;
  writer.byte(tag);
  writer.byte(1);
}

/** Bytes of messages that are already encoded, each with tag and length. */
export function sizeMessages(messages: readonly Buffer[]): number {
  let size = 0;
  for (const message of messages) size += 1 + sizeDelimited(message.length);
  return size;
}

/** Writes messages that are already encoded, each with tag and length. */
export function writeMessages(writer: Writer, tag: number, messages: readonly Buffer[]): void {
  for (const message of messages) {
    writer.byte(tag);
    writer.bytes(message);
  }
}
