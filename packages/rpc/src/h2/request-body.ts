/**
 * Messages of a request that did not come one per frame: what came is kept as it came until it is wanted, then cut by the
 * {@link MessageDecoder}.
 */
import { FrameError, MessageDecoder } from '../message-decoder.ts';
import { StatusError } from '../respond.ts';

/** What keeping a piece costs beside its bytes, however few those are. */
const pieceOverheadBytes = 256;

export class RequestBody {
  /** Bytes that were not looked at yet. */
  waitingBytes = 0;
  /** Memory that is in use: waiting pieces, and the message that is not complete yet. */
  heldBytes = 0;
  private readonly decoder: MessageDecoder;
  /** Pieces that were not looked at yet, from `nextPiece` on. */
  private pieces: Buffer[] = [];
  private nextPiece = 0;
  /** Messages with their prefixes, cut from the last piece, from `nextFrame` on. */
  private frames: Buffer[] = [];
  private nextFrame = 0;

  constructor(receiveBytesMax: number, isGzip: boolean) {
    this.decoder = new MessageDecoder(receiveBytesMax, isGzip);
  }

  /** Takes the next bytes. */
  add(piece: Buffer): void {
    this.pieces.push(piece);
    this.waitingBytes += piece.length;
    this.heldBytes += piece.length + pieceOverheadBytes;
  }

  /**
   * The next complete message with its prefix, which stays; undefined when there is none, and then nothing waits. Throws
   * StatusError when the bytes are no messages; the body is useless then.
   */
  peek(): Buffer | undefined {
    while (this.nextFrame === this.frames.length) {
      const piece = this.takePiece();
      if (piece === undefined) return undefined;
      this.frames = this.cut(piece);
      this.nextFrame = 0;
    }
    return this.frames[this.nextFrame];
  }

  /** Lets go of the message that {@link peek} returned. */
  drop(frame: Buffer): void {
    this.nextFrame++;
    this.heldBytes -= frame.length;
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
}
