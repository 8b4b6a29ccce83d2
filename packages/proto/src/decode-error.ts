/** The one error of decoding. */

/** Bytes that are not a protobuf message of the expected type. Says what is wrong and where, never what was sent. */
export class DecodeError extends Error {
  /** Offset in the decoded buffer. */
  readonly offset: number;

  constructor(reason: string, offset: number) {
    super(`malformed message: ${reason} at byte ${offset}`);
    this.name = 'DecodeError';
    this.offset = offset;
  }
}
