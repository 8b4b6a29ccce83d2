/** Padding of DATA and HEADERS frames (RFC 9113, 6.1). */
import { ErrorCode } from './frames.ts';
import { ConnectionError, protocolError } from './h2-errors.ts';

/** Length of the padding, which the first byte tells, and which must fit into the frame. Throws ConnectionError. */
export function paddingOf(bytes: Buffer, start: number, end: number): number {
  if (start === end) throw new ConnectionError(ErrorCode.frameSizeError, 'no room for the padding length');
  const paddingBytes = bytes[start]!;
  if (paddingBytes >= end - start) throw protocolError('padding exceeds the frame');
  return paddingBytes;
}
