/**
 * Cuts what a socket reads into frames. Frames that lie within one read are handed on as a range of it, without an object of
 * their own; the one that a read ends in is copied into a buffer of its own, exactly as large as the frame.
 */
import { ErrorCode, frameHeaderBytes, readUint31 } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';

export interface FrameSink {
  /** The payload is `bytes` in [start, end); it is never written to again, so views of it may be kept. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** True once no more frames are wanted. */
  readonly closed: boolean;
}

export class FrameReader {
  private readonly frameBytesMax: number;
  /** The frame the last read ended in: its header at first, then the whole frame. */
  private partial: Buffer = noBytes;
  /** Bytes of `partial` that have arrived. */
  private arrived = 0;

  /** `frameBytesMax`: the largest payload taken, SETTINGS_MAX_FRAME_SIZE. */
  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax;
  }

  /** Hands all frames that `chunk` completes to `sink`, in order. Throws ConnectionError at a frame that is too long. */
  read(chunk: Buffer, sink: FrameSink): void {
    let at = this.arrived === 0 ? 0 : this.complete(chunk, sink);
    const length = chunk.length;
    while (length - at >= frameHeaderBytes && !sink.closed) {
      const end = at + frameHeaderBytes + this.payloadBytes(chunk, at);
      if (end > length) break;
      sink.onFrame(chunk[at + 3]!, chunk[at + 4]!, readUint31(chunk, at + 5), chunk, at + frameHeaderBytes, end);
      at = end;
    }
    if (at < length && !sink.closed) this.hold(chunk, at);
  }

  /** Adds to the frame held back until it is whole, then hands it on. Returns where `chunk` goes on. */
  private complete(chunk: Buffer, sink: FrameSink): number {
    let at = 0;
    if (this.arrived < frameHeaderBytes) {
      at = this.take(chunk, at, frameHeaderBytes);
      if (this.arrived < frameHeaderBytes) return at;
      this.makeRoomForFrame();
    }
    at = this.take(chunk, at, this.partial.length);
    if (this.arrived < this.partial.length) return at;
    const frame = this.partial;
    this.partial = noBytes;
    this.arrived = 0;
    sink.onFrame(frame[3]!, frame[4]!, readUint31(frame, 5), frame, frameHeaderBytes, frame.length);
    return at;
  }

  private hold(chunk: Buffer, at: number): void {
    this.partial = Buffer.allocUnsafeSlow(frameHeaderBytes);
    const next = this.take(chunk, at, frameHeaderBytes);
    if (this.arrived < frameHeaderBytes) return;
    this.makeRoomForFrame();
    this.take(chunk, next, this.partial.length);
  }

  /** Copies from `chunk` until `goal` bytes have arrived, or it ends. */
  private take(chunk: Buffer, at: number, goal: number): number {
    const count = Math.min(goal - this.arrived, chunk.length - at);
    chunk.copy(this.partial, this.arrived, at, at + count);
    this.arrived += count;
    return at + count;
  }

  private makeRoomForFrame(): void {
    const header = this.partial;
    this.partial = Buffer.allocUnsafeSlow(frameHeaderBytes + this.payloadBytes(header, 0));
    header.copy(this.partial);
  }

  private payloadBytes(bytes: Buffer, at: number): number {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > this.frameBytesMax) throw new ConnectionError(ErrorCode.frameSizeError, 'frame too large');
    return length;
  }
}

const noBytes: Buffer = Buffer.alloc(0);
