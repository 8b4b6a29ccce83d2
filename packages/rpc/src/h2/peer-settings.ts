/** SETTINGS of the other side: checks them and puts them in force (RFC 9113, 6.5). */
import {
  ErrorCode,
  frameBytesDefault,
  frameBytesLimit,
  frameBytesSentMax,
  readUint32,
  Setting,
  windowLimit,
} from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import { encodeTableSize } from './hpack-encoder.ts';
import type { Sender } from './sender.ts';
import type { Stream } from './stream.ts';

/** Bytes of one entry: an id and a value. */
export const settingBytes = 6;

export class PeerSettings {
  /** Streams the other side lets us open. */
  concurrentStreamsMax: number = Number.POSITIVE_INFINITY;
  private readonly sender: Sender;
  private readonly other: 'client' | 'server';
  private readonly openStreams: () => Stream[];
  private headerTableBytes = 4_096;
  private windowsGrew = false;

  /** `other`: whose settings these are. */
  constructor(sender: Sender, openStreams: () => Stream[], other: 'client' | 'server') {
    this.sender = sender;
    this.other = other;
    this.openStreams = openStreams;
  }

  /** The entries in `bytes` from `start` to `end`, in order. Throws ConnectionError. */
  apply(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += settingBytes) {
      this.applyOne(bytes.readUInt16BE(at), readUint32(bytes, at + 2));
    }
  }

  /**
   * Goes on with streams whose windows grew. To be called after the acknowledgement is written: before it the client need not
   * expect what the new settings allow.
   */
  resumeStreams(): void {
    if (!this.windowsGrew) return;
    this.windowsGrew = false;
    for (const stream of this.openStreams()) this.sender.resume(stream);
  }

  private applyOne(id: number, value: number): void {
    switch (id) {
      case Setting.headerTableSize:
        // A smaller table must be acknowledged in the next block; ours is empty for good (RFC 7541, 4.2).
        if (value < this.headerTableBytes) this.sender.tableSizeUpdate = encodeTableSize(0);
        this.headerTableBytes = value;
        break;
      case Setting.enablePush:
        if (value > 1) throw new ConnectionError(ErrorCode.protocolError, 'ENABLE_PUSH is neither 0 nor 1');
        if (value === 1 && this.other === 'server') {
          throw new ConnectionError(ErrorCode.protocolError, 'a server cannot enable push');
        }
        break;
      case Setting.maxConcurrentStreams:
        this.concurrentStreamsMax = value;
        break;
      case Setting.initialWindowSize:
        if (value > windowLimit) throw new ConnectionError(ErrorCode.flowControlError, 'initial window too large');
        this.changeStreamWindows(value);
        break;
      case Setting.maxFrameSize:
        if (value < frameBytesDefault || value > frameBytesLimit) {
          throw new ConnectionError(ErrorCode.protocolError, 'MAX_FRAME_SIZE out of range');
        }
        this.sender.frameBytesMax = Math.min(value, frameBytesSentMax);
        break;
      default:
        // Hints and the unknown.
        break;
    }
  }

  /** Open streams' windows change by the difference and may become negative (RFC 9113, 6.9.2). */
  private changeStreamWindows(value: number): void {
    const change = value - this.sender.streamWindow;
    this.sender.streamWindow = value;
    for (const stream of this.openStreams()) {
      stream.sendWindow += change;
      if (stream.sendWindow > windowLimit) throw new ConnectionError(ErrorCode.flowControlError, 'window too large');
    }
    if (change > 0) this.windowsGrew = true;
  }
}
