/** The vocabulary of HTTP/2 frames (RFC 9113, sections 4, 6 and 7) and the one routine that writes a frame's header. */

/** What every client sends first (RFC 9113, 3.4). */
export const prefaceText = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** Length (3 bytes), type, flags, stream (4 bytes). */
export const frameHeaderBytes = 9;

/** Largest payload every peer takes until it says otherwise. */
export const frameBytesDefault = 16_384;

/** Largest payload a peer may allow. */
export const frameBytesLimit = 0xff_ffff;

/** Largest payload we send, whatever the peer allows, so that streams can share a connection. */
export const frameBytesSentMax: number = 64 * 1024;

/** Windows are 31 bits; a larger one is a flow-control error. */
export const windowLimit = 0x7fff_ffff;

/** Window of the connection, and of every stream until SETTINGS change it. */
export const windowDefault = 65_535;

/** Highest stream number. */
export const streamIdLimit = 0x7fff_ffff;

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Writes the nine bytes before a payload of `length` bytes. Positional arguments, in the order of the wire: it is the hottest function. */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  writeUint32(into, at + 5, streamId);
}

/** Big endian, without the range checks of Buffer. */
export function writeUint32(into: Buffer, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}

/** Big endian, unsigned. */
export function readUint32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Big endian, the reserved top bit left out: stream numbers and window increments. */
export function readUint31(bytes: Buffer, at: number): number {
  return ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
