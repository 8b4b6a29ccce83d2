/**
 * Writers of the answers on the hot path. They take KeyValues and events that are already encoded and put them into the
 * response as they are; sizes are summed up first, so a response is one allocation and every byte is copied once. The result
 * is byte for byte what the plain codecs write.
 */
import { unreachable } from '@quorate/base';
import {
  type HeaderPrefix,
  noPrefix,
  sizeHeader,
  sizeId,
  sizeMessages,
  sizeNumber,
  writeFlag,
  writeHeader,
  writeId,
  writeMessages,
  writeNumber,
} from './splice-pieces.ts';
import { sizeDelimited, sizeString, sizeUint32 } from './wire.ts';
import { Writer } from './writer.ts';

/** A range's part of an answer. `kvs` are encoded KeyValues. */
export interface RangeParts {
  readonly revision: number;
  readonly kvs: readonly Buffer[];
  readonly more: boolean;
  readonly count: number;
}

/** A put's part of an answer. `prevKv` is an encoded KeyValue. */
export interface PutParts {
  readonly revision: number;
  readonly prevKv: Buffer | undefined;
}

/** A delete's part of an answer. `prevKvs` are encoded KeyValues. */
export interface DeleteRangeParts {
  readonly revision: number;
  readonly deleted: number;
  readonly prevKvs: readonly Buffer[];
}

/** A transaction's part of an answer. `revision` goes into the outermost header only. */
export interface TxnParts {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly OpParts[];
}

/** One operation of a transaction. */
export type OpParts =
  | ({ readonly op: 'range' } & RangeParts)
  | ({ readonly op: 'put' } & PutParts)
  | ({ readonly op: 'deleteRange' } & DeleteRangeParts)
  | ({ readonly op: 'txn' } & TxnParts);

/** A watch response. `events` are encoded Events; -1n as `watchId` addresses the whole stream. */
export interface WatchParts {
  readonly revision: number;
  readonly watchId: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly Buffer[];
}

/** Whose header goes on top. */
export interface WithHeader {
  readonly headerPrefix: HeaderPrefix;
}

// Fields of ResponseOp, all messages.
const opTags = { range: 10, put: 18, deleteRange: 26, txn: 34 } as const;

/** A response that holds a header and nothing else: CompactionResponse and many more. Revision 0 is left out. */
export function encodeHeaderResponse(parts: WithHeader & { readonly revision: number }): Buffer {
  const { headerPrefix, revision } = parts;
  const writer = new Writer(sizeHeader(headerPrefix, revision));
  writeHeader(writer, headerPrefix, revision);
  return writer.finish();
}

/** The bytes of a RangeResponse. */
export function encodeRangeResponse(parts: WithHeader & RangeParts): Buffer {
  const writer = new Writer(sizeRange(parts.headerPrefix, parts));
  writeRange(writer, parts.headerPrefix, parts);
  return writer.finish();
}

/**
 * A RangeResponse in parts, for answers too long to be written in one turn: the head, then any number of pieces with key-values,
 * then the tail. One after another they are the message.
 */
export function encodeRangeHead({ headerPrefix, revision }: WithHeader & Pick<RangeParts, 'revision'>): Buffer {
  const writer = new Writer(sizeHeader(headerPrefix, revision));
  writeHeader(writer, headerPrefix, revision);
  return writer.finish();
}

/** Key-values of a RangeResponse; see {@link encodeRangeHead}. */
export function encodeRangePiece(kvs: readonly Buffer[]): Buffer {
  const writer = new Writer(sizeMessages(kvs));
  writeMessages(writer, 18, kvs);
  return writer.finish();
}

/** The end of a RangeResponse; see {@link encodeRangeHead}. */
export function encodeRangeTail({ more, count }: Pick<RangeParts, 'more' | 'count'>): Buffer {
  const writer = new Writer((more ? 2 : 0) + sizeNumber(count));
  writeFlag(writer, 24, more);
  writeNumber(writer, 32, count);
  return writer.finish();
}

/** The bytes of a RangeStreamResponse around an encoded RangeResponse or a piece of one. */
export function encodeRangeStreamResponse(rangeResponse: Buffer): Buffer {
  const writer = new Writer(1 + sizeDelimited(rangeResponse.length));
  writer.byte(10);
  writer.bytes(rangeResponse);
  return writer.finish();
}

/** The bytes of a PutResponse. */
export function encodePutResponse(parts: WithHeader & PutParts): Buffer {
  const writer = new Writer(sizePut(parts.headerPrefix, parts));
  writePut(writer, parts.headerPrefix, parts);
  return writer.finish();
}

/** The bytes of a DeleteRangeResponse. */
export function encodeDeleteRangeResponse(parts: WithHeader & DeleteRangeParts): Buffer {
  const writer = new Writer(sizeDeleteRange(parts.headerPrefix, parts));
  writeDeleteRange(writer, parts.headerPrefix, parts);
  return writer.finish();
}

/** The bytes of a TxnResponse with everything nested in it. */
export function encodeTxnResponse(parts: WithHeader & TxnParts): Buffer {
  const writer = new Writer(sizeTxn(parts.headerPrefix, parts.revision, parts));
  writeTxn(writer, parts.headerPrefix, parts.revision, parts);
  return writer.finish();
}

/** The bytes of a WatchResponse. */
export function encodeWatchResponse(parts: WithHeader & WatchParts): Buffer {
  const { headerPrefix, revision, watchId, created, canceled, compactRevision, cancelReason, fragment, events } = parts;
  let size = sizeHeader(headerPrefix, revision) + sizeId(watchId) + sizeNumber(compactRevision) + sizeMessages(events);
  if (cancelReason !== '') size += 1 + sizeString(cancelReason);
  size += (created ? 2 : 0) + (canceled ? 2 : 0) + (fragment ? 2 : 0);
  const writer = new Writer(size);
  writeHeader(writer, headerPrefix, revision);
  writeId(writer, 16, watchId);
  writeFlag(writer, 24, created);
  writeFlag(writer, 32, canceled);
  writeNumber(writer, 40, compactRevision);
  if (cancelReason !== '') {
    writer.byte(50);
    writer.string(cancelReason);
  }
  writeFlag(writer, 56, fragment);
  writeMessages(writer, 90, events);
  return writer.finish();
}

/** The bytes of an Event around encoded KeyValues. `type` is a number of EventEventType. */
export function encodeEvent(type: number, kv: Buffer, prevKv: Buffer | undefined): Buffer {
  const prevSize = prevKv === undefined ? 0 : 1 + sizeDelimited(prevKv.length);
  const writer = new Writer((type === 0 ? 0 : 2) + 1 + sizeDelimited(kv.length) + prevSize);
  if (type !== 0) {
    writer.byte(8);
    writer.byte(type);
  }
  writer.byte(18);
  writer.bytes(kv);
  if (prevKv !== undefined) {
    writer.byte(26);
    writer.bytes(prevKv);
  }
  return writer.finish();
}

// ---- the four operations

function sizeRange(prefix: HeaderPrefix, parts: RangeParts): number {
  return sizeHeader(prefix, parts.revision) + sizeMessages(parts.kvs) + (parts.more ? 2 : 0) + sizeNumber(parts.count);
}

function writeRange(writer: Writer, prefix: HeaderPrefix, parts: RangeParts): void {
  writeHeader(writer, prefix, parts.revision);
  writeMessages(writer, 18, parts.kvs);
  writeFlag(writer, 24, parts.more);
  writeNumber(writer, 32, parts.count);
}

function sizePut(prefix: HeaderPrefix, parts: PutParts): number {
  const prevSize = parts.prevKv === undefined ? 0 : 1 + sizeDelimited(parts.prevKv.length);
  return sizeHeader(prefix, parts.revision) + prevSize;
}

function writePut(writer: Writer, prefix: HeaderPrefix, parts: PutParts): void {
  writeHeader(writer, prefix, parts.revision);
  if (parts.prevKv === undefined) return;
  writer.byte(18);
  writer.bytes(parts.prevKv);
}

function sizeDeleteRange(prefix: HeaderPrefix, parts: DeleteRangeParts): number {
  return sizeHeader(prefix, parts.revision) + sizeNumber(parts.deleted) + sizeMessages(parts.prevKvs);
}

function writeDeleteRange(writer: Writer, prefix: HeaderPrefix, parts: DeleteRangeParts): void {
  writeHeader(writer, prefix, parts.revision);
  writeNumber(writer, 16, parts.deleted);
  writeMessages(writer, 26, parts.prevKvs);
}

function sizeTxn(prefix: HeaderPrefix, revision: number, parts: TxnParts): number {
  let size = sizeHeader(prefix, revision) + (parts.succeeded ? 2 : 0);
  for (const op of parts.responses) {
    const inner = sizeOp(op);
    size += 1 + sizeDelimited(1 + sizeUint32(inner) + inner);
  }
  return size;
}

function writeTxn(writer: Writer, prefix: HeaderPrefix, revision: number, parts: TxnParts): void {
  writeHeader(writer, prefix, revision);
  writeFlag(writer, 16, parts.succeeded);
  for (const op of parts.responses) {
    const inner = sizeOp(op);
    writer.byte(26);
    writer.uint32(1 + sizeUint32(inner) + inner);
    writeOp(writer, op, inner);
  }
}

function sizeOp(op: OpParts): number {
  switch (op.op) {
    case 'range':
      return sizeRange(noPrefix, op);
    case 'put':
      return sizePut(noPrefix, op);
    case 'deleteRange':
      return sizeDeleteRange(noPrefix, op);
    case 'txn':
      return sizeTxn(noPrefix, 0, op);
    default:
      return unreachable(op);
  }
}

/** A ResponseOp: the response as the field of the oneof that names its kind. */
function writeOp(writer: Writer, op: OpParts, size: number): void {
  writer.byte(opTags[op.op]);
  writer.uint32(size);
  switch (op.op) {
    case 'range':
      writeRange(writer, noPrefix, op);
      break;
    case 'put':
      writePut(writer, noPrefix, op);
      break;
    case 'deleteRange':
      writeDeleteRange(writer, noPrefix, op);
      break;
    case 'txn':
      writeTxn(writer, noPrefix, 0, op);
      break;
    default:
      unreachable(op);
  }
}
