/** The frames that are not part of a call, written to a connection's output. */
import { type ErrorCode, Flag, FrameType, frameHeaderBytes, writeFrameHeader, writeUint32 } from './frames.ts';
import type { Output } from './output.ts';

/** One entry of a SETTINGS frame. */
export type SettingEntry = readonly [id: number, value: number];

/** GOAWAY carries no more text than this. */
const debugBytesMax = 256;

export class ControlFrames {
  private readonly output: Output;

  constructor(output: Output) {
    this.output = output;
  }

  settings(entries: readonly SettingEntry[]): void {
    const at = this.frame(entries.length * 6, FrameType.settings, 0, 0);
    entries.forEach(([id, value], i) => {
      this.output.chunk.writeUInt16BE(id, at + i * 6);
      this.output.chunk.writeUInt32BE(value, at + i * 6 + 2);
    });
  }

  settingsAck(): void {
    this.frame(0, FrameType.settings, Flag.ack, 0);
  }

  /** `payload` has eight bytes from `start` on. */
  ping(payload: Buffer, start: number, flags: number): void {
    const at = this.frame(8, FrameType.ping, flags, 0);
    payload.copy(this.output.chunk, at, start, start + 8);
  }

  /** Grows a window at the client; stream 0 is the connection. */
  windowUpdate(streamId: number, bytes: number): void {
    const at = this.frame(4, FrameType.windowUpdate, 0, streamId);
    writeUint32(this.output.chunk, at, bytes);
  }

  rstStream(streamId: number, code: ErrorCode): void {
    const at = this.frame(4, FrameType.rstStream, 0, streamId);
    writeUint32(this.output.chunk, at, code);
  }

  /** Streams above `lastStreamId` are not and will not be processed. */
  goAway(lastStreamId: number, code: ErrorCode, debug = ''): void {
    const text = Buffer.from(debug).subarray(0, debugBytesMax);
    const at = this.frame(8 + text.length, FrameType.goAway, 0, 0);
    writeUint32(this.output.chunk, at, lastStreamId);
    writeUint32(this.output.chunk, at + 4, code);
    text.copy(this.output.chunk, at + 8);
  }

  /** Room for a frame, its header written; returns where the payload goes. */
  private frame(length: number, type: number, flags: number, streamId: number): number {
    const at = this.output.reserve(frameHeaderBytes + length);
    writeFrameHeader(this.output.chunk, at, length, type, flags, streamId);
    return at + frameHeaderBytes;
  }
}
