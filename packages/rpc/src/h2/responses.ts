/**
 * Header blocks of answers. The common ones are made once; the rest are made of literals, so that no block depends on the state
 * of a connection.
 */
import { Status } from '@quorate/proto';
import type { RpcStatus } from '../respond.ts';
import { Flag, FrameType, frameHeaderBytes, writeFrameHeader } from './frames.ts';
import { encodeFields, type FieldText } from './hpack-encoder.ts';
import type { Refusal } from './request-head.ts';

/** Bytes before a message in the body of a call: the compressed flag, always 0 here, and the length. */
export const messagePrefixBytes = 5;

const headFields: readonly FieldText[] = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const acceptEncoding: FieldText = ['grpc-accept-encoding', 'gzip'];

const plainHead = encodeFields(headFields);
const okTrailers = encodeFields([['grpc-status', '0']]);

/** Headers that come before the first message. */
export function headBlock(fields: readonly FieldText[] | undefined, isGzip: boolean): Buffer {
  if (fields === undefined && !isGzip) return plainHead;
  return encodeFields([...headFields, ...(isGzip ? [acceptEncoding] : []), ...(fields ?? [])]);
}

/** Trailers that end a call whose headers have been sent. */
export function trailersBlock(status: RpcStatus, fields: readonly FieldText[] | undefined): Buffer {
  if (status.code === Status.OK && fields === undefined) return okTrailers;
  return encodeFields([...statusFields(status), ...(fields ?? [])]);
}

/** Headers that are the whole answer. */
export function trailersOnlyBlock(
  status: RpcStatus,
  fields: readonly FieldText[] | undefined,
  isGzip: boolean,
): Buffer {
  const encoding = isGzip ? [acceptEncoding] : [];
  return encodeFields([...headFields, ...encoding, ...statusFields(status), ...(fields ?? [])]);
}

/** Headers that refuse a request. */
export function refusalBlock({ httpStatus, code, message, acceptEncoding: accept }: Refusal): Buffer {
  return encodeFields([
    [':status', String(httpStatus)],
    ['content-type', 'application/grpc'],
    ...(accept ? [acceptEncoding] : []),
    ...statusFields({ code, message }),
  ]);
}

/** Headers for a request whose own headers are too long to be looked at (RFC 6585, 5). */
export const headersTooLargeBlock: Buffer = encodeFields([[':status', '431']]);

/**
 * What a successful unary answer consists of, apart from its message: HEADERS with the header of the DATA frame, to be followed
 * by the message, then HEADERS with the trailers. Stream numbers and lengths are to be filled in.
 */
export const answerStart: Buffer = Buffer.concat([
  headersFrame(plainHead, Flag.endHeaders),
  Buffer.alloc(frameHeaderBytes + messagePrefixBytes),
]);
/** Where the DATA frame begins in {@link answerStart}. */
export const answerDataAt: number = frameHeaderBytes + plainHead.length;
export const answerEnd: Buffer = headersFrame(okTrailers, Flag.endHeaders | Flag.endStream);

function headersFrame(block: Buffer, flags: number): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + block.length);
  writeFrameHeader(frame, 0, block.length, FrameType.headers, flags, 0);
  block.copy(frame, frameHeaderBytes);
  return frame;
}

function statusFields({ code, message }: RpcStatus): FieldText[] {
  const status: FieldText = ['grpc-status', String(code)];
  return message === '' ? [status] : [status, ['grpc-message', percentEncode(message)]];
}

/** UTF-8 with everything but printable ASCII, and the percent sign, as %XX (gRPC over HTTP/2, Status-Message). */
export function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
