/**
 * Cuts the body of a gRPC call into its length-prefixed messages:
 *
 *   offset 0  1 byte   compressed flag, 0 or 1
 *   offset 1  4 bytes  length of the message, big endian
 *   offset 5  message
 *
 * The length is checked before any of the message is kept, and memory grows with what has arrived, never with what is promised.
 */
import { Status, type StatusCode } from '@quorate/proto';
import { tooLargeText } from './respond.ts';

/** Bytes of the prefix of every message. */
export const messageHeaderBytes = 5;

/** A body that must not be read on; status and texts as Go says them. */
export class FrameError extends Error {
  readonly status: StatusCode;

  constructor(status: StatusCode, message: string) {
    super(message);
    this.name = 'FrameError';
    this.status = status;
  }
}

// First room for a message that does not arrive in one piece.
const firstRoomBytes = 16 * 1024;

/** State of one body; feed it the body's bytes in order. */
export class MessageDecoder {
  readonly #limitBytes: number;
  readonly #compressed: boolean;
  #room: Buffer = Buffer.alloc(0);
  /** Bytes of an unfinished frame in #room. */
  #held = 0;
  /** Size of the unfinished frame with its header; 0 until the header is complete. */
  #frameBytes = 0;

  /** `compressed`: the call named an encoding, so messages may carry the flag. */
  constructor(limitBytes: number, compressed: boolean) {
    this.#limitBytes = limitBytes;
    this.#compressed = compressed;
  }

  /**
   * The frames (header and message) that `data` completes. Frames that lie within `data` are views of it. Throws
   * FrameError as soon as a header is wrong or tells a length over the limit; the decoder must not be used after that.
   */
  write(data: Buffer): Buffer[] {
    const frames: Buffer[] = [];
    let at = 0;
    while (at < data.length) {
      if (this.#held === 0 && data.length - at >= messageHeaderBytes) {
        const end = at + this.#frameSize(data, at);
        if (end <= data.length) {
          frames.push(data.subarray(at, end));
          at = end;
          continue;
        }
      }
      at = this.#hold(data, at);
      if (this.#frameBytes > 0 && this.#held === this.#frameBytes) frames.push(this.#takeHeld());
    }
    return frames;
  }

  #frameSize(bytes: Buffer, at: number): number {
    const flag = bytes.readUInt8(at);
    if (flag > 1) throw new FrameError(Status.INTERNAL, `grpc: received unexpected payload format ${flag}`);
    if (flag === 1 && !this.#compressed) {
      throw new FrameError(Status.INTERNAL, 'grpc: compressed flag set with identity or empty encoding');
    }
    const size = bytes.readUInt32BE(at + 1);
    if (size > this.#limitBytes) throw new FrameError(Status.RESOURCE_EXHAUSTED, tooLargeText(size, this.#limitBytes));
    return messageHeaderBytes + size;
  }

  /** Copies what the unfinished frame still lacks, at most; returns where it stopped in `data`. */
  #hold(data: Buffer, at: number): number {
    const goal = this.#frameBytes > 0 ? this.#frameBytes : messageHeaderBytes;
    const count = Math.min(goal - this.#held, data.length - at);
    this.#reserve(this.#held + count);
    data.copy(this.#room, this.#held, at, at + count);
    this.#held += count;
    if (this.#frameBytes === 0 && this.#held === messageHeaderBytes) this.#frameBytes = this.#frameSize(this.#room, 0);
    return at + count;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#room.length) return;
    const generous = Math.min(Math.max(firstRoomBytes, this.#room.length * 2), this.#frameBytes);
    const room = Buffer.allocUnsafeSlow(Math.max(bytes, generous));
    this.#room.copy(room, 0, 0, this.#held);
    this.#room = room;
  }

  #takeHeld(): Buffer {
    const frame = this.#room.subarray(0, this.#held);
    this.#room = Buffer.alloc(0);
    this.#held = 0;
    this.#frameBytes = 0;
    return frame;
  }
}
