/** Frames of HTTP/2 as the load generator writes and knows them (RFC 9113, sections 4.1 and 6). */

export const FrameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const Flag = { endStream: 1, ack: 1, endHeaders: 4 } as const;
export const frameHeaderBytes = 9;
/** The largest payload that every server takes. */
export const framePayloadMax = 16_384;
export const windowMax = 0x7fff_ffff;

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, { length: payload.length, type, flags, stream });
  payload.copy(bytes, frameHeaderBytes);
  return bytes;
}

export function writeFrameHeader(
  bytes: Buffer,
  at: number,
  header: { length: number; type: number; flags: number; stream: number },
): void {
  bytes.writeUIntBE(header.length, at, 3);
  bytes[at + 3] = header.type;
  bytes[at + 4] = header.flags;
  bytes.writeUInt32BE(header.stream, at + 5);
}
