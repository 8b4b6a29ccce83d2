/** Messages of a request that did not come one per frame: cut by the {@link MessageDecoder}, decompressed, kept until wanted. */
import { gunzipSync } from 'node:zlib';
import { Status } from '@quorate/proto';
import { FrameError, MessageDecoder, messageHeaderBytes } from '../message-decoder.ts';
import { StatusError } from '../respond.ts';

export class RequestBody {
  /** Bytes of complete messages that nobody has taken yet, with their prefixes. */
  undeliveredBytes = 0;
  /** Those and the bytes of the message that is not complete yet. */
  heldBytes = 0;
  private readonly decoder: MessageDecoder;
  private readonly receiveBytesMax: number;
  private frames: Buffer[] = [];
  private nextFrame = 0;

  constructor(receiveBytesMax: number, isGzip: boolean) {
    this.receiveBytesMax = receiveBytesMax;
    this.decoder = new MessageDecoder(receiveBytesMax, isGzip);
  }

  get hasMessages(): boolean {
    return this.nextFrame < this.frames.length;
  }

  /** Takes the next bytes. Throws StatusError; the body is useless then. */
  write(data: Buffer): void {
    this.heldBytes += data.length;
    let frames: Buffer[];
    try {
      frames = this.decoder.write(data);
    } catch (error) {
      if (error instanceof FrameError) throw new StatusError(error.status, error.message, { cause: error });
      throw error;
    }
    for (const frame of frames) this.undeliveredBytes += frame.length;
    this.frames = this.hasMessages ? [...this.frames.slice(this.nextFrame), ...frames] : frames;
    this.nextFrame = 0;
  }

  /** The next complete message. Throws StatusError when it cannot be decompressed. */
  next(): Buffer | undefined {
    const frame = this.frames[this.nextFrame];
    if (frame === undefined) return undefined;
    this.nextFrame++;
    this.undeliveredBytes -= frame.length;
    this.heldBytes -= frame.length;
    const message = frame.subarray(messageHeaderBytes);
    return frame[0] === 1 ? this.decompress(message) : message;
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
