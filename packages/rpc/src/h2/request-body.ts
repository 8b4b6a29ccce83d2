/**
 * Messages of a request that did not come one per frame: what came is kept as it came until it is wanted, then cut by the
 * {@link MessageDecoder} and decompressed.
 */
import { gunzipSync } from 'node:zlib';
import { Status } from '@quorate/proto';
import { FrameError, MessageDecoder, messageHeaderBytes } from '../message-decoder.ts';
import { StatusError } from '../respond.ts';

/** What keeping a piece costs beside its bytes, however few those are. */
const pieceOverheadBytes = 256;

export class RequestBody {
  /** Bytes that were not looked at yet. */
  waitingBytes = 0;
  /** Memory that is in use: waiting pieces, and the message that is not complete yet. */
  heldBytes = 0;
  private readonly decoder: MessageDecoder;
  private readonly receiveBytesMax: number;
  /** Pieces that were not looked at yet, from `nextPiece` on. */
  private pieces: Buffer[] = [];
  private nextPiece = 0;
  /** Messages with their prefixes, cut from the last piece, from `nextFrame` on. */
  private frames: Buffer[] = [];
  private nextFrame = 0;

  constructor(receiveBytesMax: number, isGzip: boolean) {
    this.receiveBytesMax = receiveBytesMax;
    this.decoder = new MessageDecoder(receiveBytesMax, isGzip);
  }

  /** Takes the next bytes. */
  add(piece: Buffer): void {
    this.pieces.push(piece);
    this.waitingBytes += piece.length;
    this.heldBytes += piece.length + pieceOverheadBytes;
  }

  /**
   * The next complete message; undefined when there is none, and then nothing waits. Throws StatusError when the bytes are no
   * messages; the body is useless then.
   */
  next(): Buffer | undefined {
    while (this.nextFrame === this.frames.length) {
      const piece = this.takePiece();
      if (piece === undefined) return undefined;
      this.frames = this.cut(piece);
      this.nextFrame = 0;
    }
    const frame = this.frames[this.nextFrame++]!;
    this.heldBytes -= frame.length;
    const message = frame.subarray(messageHeaderBytes);
    return frame[0] === 1 ? this.decompress(message) : message;
  }

  private takePiece(): Buffer | undefined {
    const piece = this.pieces[this.nextPiece];
    if (piece === undefined) {
      this.pieces = [];
      this.nextPiece = 0;
      return undefined;
    }
    this.nextPiece++;
    this.waitingBytes -= piece.length;
    this.heldBytes -= pieceOverheadBytes;
    return piece;
  }

  private cut(piece: Buffer): Buffer[] {
    try {
      return this.decoder.write(piece);
    } catch (error) {
      if (error instanceof FrameError) throw new StatusError(error.status, error.message, { cause: error });
      throw error;
    }
  }

  /** Blocks, but not for long: the result is no larger than a request may be. */
  private decompress(message: Buffer): Buffer {
    try {
      return gunzipSync(message, { maxOutputLength: Math.max(1, this.receiveBytesMax) });
    } catch (error) {
      if (error instanceof RangeError) {
        const text = `grpc: received message after decompression larger than max (${this.receiveBytesMax})`;
        throw new StatusError(Status.RESOURCE_EXHAUSTED, text, { cause: error });
      }
      const reason = error instanceof Error ? error.message : String(error);
      const text = `grpc: failed to decompress the received message: ${reason}`;
      throw new StatusError(Status.INTERNAL, text, { cause: error });
    }
  }
}
