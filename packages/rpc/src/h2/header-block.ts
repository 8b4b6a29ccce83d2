/** A header block that comes in several frames: HEADERS and its CONTINUATIONs. */
import { ErrorCode } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import type { H2Limits } from './limits.ts';

export class HeaderBlock {
  readonly streamId: number;
  /** HEADERS had END_STREAM. */
  readonly endStream: boolean;
  private readonly limits: H2Limits;
  private readonly parts: Buffer[];
  private sizeBytes: number;

  constructor(streamId: number, endStream: boolean, first: Buffer, limits: H2Limits) {
    this.streamId = streamId;
    this.endStream = endStream;
    this.limits = limits;
    this.parts = [first];
    this.sizeBytes = first.length;
  }

  /** Throws ConnectionError at a part too many: the block must not be left out, so there is no way to go on. */
  add(part: Buffer): void {
    this.parts.push(part);
    this.sizeBytes += part.length;
    if (this.parts.length > this.limits.continuationsMax || this.sizeBytes > this.limits.headerBlockBytesMax) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'header block too large');
    }
  }

  /** The whole block. */
  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}
